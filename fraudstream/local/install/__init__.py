"""Software: environments and jars, fetched and pinned."""

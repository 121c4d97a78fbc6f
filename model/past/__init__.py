"""A beginning with a past: an imported history becomes profiles, entity risk and rollups, before the stream begins."""

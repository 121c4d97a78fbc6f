"""The native runtime: environments, jars, secrets and processes. What `./fraudctl` calls."""

"""The archive: scored transactions with their features, and labels, as Delta Lake tables (docs/archive.md)."""

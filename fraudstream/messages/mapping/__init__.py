"""Mappings: a shop's own messages and files, read as the platform's events (docs/mapping.md). Pure."""

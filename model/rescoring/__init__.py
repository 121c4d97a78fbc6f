"""A period of the archive scored again: what would have been decided, beside what was."""

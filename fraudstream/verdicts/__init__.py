"""Analysts' verdicts, sent as labels."""

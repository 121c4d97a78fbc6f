"""Durations in the units that the model's code counts in."""

HOUR_SECONDS = 3_600
DAY_SECONDS = 24 * HOUR_SECONDS
HOUR_MS = 1_000 * HOUR_SECONDS
DAY_MS = 1_000 * DAY_SECONDS

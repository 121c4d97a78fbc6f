"""What the platform keeps for how long: rows, rollups, logs. Sums of what is deleted stay."""

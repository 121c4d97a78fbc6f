"""Training: a history is collected, split by time, fitted, calibrated and compared."""

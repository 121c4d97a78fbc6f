"""Long-lived jobs: at most one process of each, found again by whoever looks for it."""

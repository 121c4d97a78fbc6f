"""Other ways to do what the streaming job does, which the benchmark `peers` measures beside it."""

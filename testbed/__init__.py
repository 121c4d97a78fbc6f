"""Settings and servers of their own, on which tests and benchmarks stand."""

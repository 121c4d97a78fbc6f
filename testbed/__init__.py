"""What tests and benchmarks both stand on: settings and servers of their own."""

"""What the benchmarks share that start a stream of their own: its processes, samples of them, and the accounting."""

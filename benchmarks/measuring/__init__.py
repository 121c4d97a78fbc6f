"""Tools of the benchmarks that start a stream of their own: its processes, samples of them, and the accounting."""

"""Benchmarks: prange against a pool of processes, GRIDR and the bare reads and writes. See `bench.run`."""

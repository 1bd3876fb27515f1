"""Benchmarks: compared in one run on one machine, as ratios; nothing here is asserted on time."""

"""Measurements, each beside a peer in the same run; figures go to benchmarks/results."""

"""Benchmarks are run small, so that they never rot."""

"""Benchmarks: each is a command whose last line is JSON and whose exit code says whether its bars hold."""

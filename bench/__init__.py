"""Benchmarks: commands whose last line of output is JSON and whose exit code is 1 if a bar is missed."""

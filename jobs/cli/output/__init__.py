"""Prints summaries, tables and progress bars for people."""

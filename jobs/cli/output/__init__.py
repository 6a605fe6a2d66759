"""Prints for people: summaries, tables and progress bars."""

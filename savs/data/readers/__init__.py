"""Readers: every dataset that is no manifest yet becomes the rows of one."""

"""Tallies as JSON: what the shards of a job have counted."""

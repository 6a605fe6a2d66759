"""Cuts manifests into shards, and finds what is odd about their rows."""

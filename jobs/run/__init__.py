"""Runs jobs: attempts at shards, planning and reducing, the sweep, `watch`, and runs without a broker."""

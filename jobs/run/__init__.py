"""What drives jobs: attempts at shards, advancing jobs, the sweep, `watch`, and runs without a broker."""

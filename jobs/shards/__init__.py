"""One shard: its rows, its requests to the model, its result, and where it may read."""

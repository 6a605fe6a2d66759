"""One shard: its rows, its requests to the model, its result, and the addresses that it may read."""

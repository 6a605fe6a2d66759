"""A job's state as objects in its workspace, and its rows as they are read back."""

"""A job's state as objects in its workspace, and the reading of its rows."""

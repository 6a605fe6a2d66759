"""Labels from head vectors: fit, votes, artifacts, and the leak check."""

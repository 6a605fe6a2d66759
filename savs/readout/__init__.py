"""From head vectors to labels: fit, votes, artifacts, and the leak check."""

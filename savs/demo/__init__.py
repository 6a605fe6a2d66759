"""The demo model: its world, its training, and its evaluation. Nothing else imports it."""

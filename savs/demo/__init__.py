"""The demo model: its data, training and evaluation. No other package imports it."""

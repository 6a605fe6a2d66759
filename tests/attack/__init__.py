"""Hostile inputs by the thousand, `make attack`: what a stranger can write, send or store ends nothing."""

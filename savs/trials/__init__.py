"""Tests on generated media when a model is loaded: they decide how it is run, or refuse it."""

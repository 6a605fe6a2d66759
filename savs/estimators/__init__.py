"""Closed-form estimators over head vectors, as NumPy arrays: no model, no files, no rows."""

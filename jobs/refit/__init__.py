"""Fits artifacts again, and labels corpora again, from stored vectors: no model is needed."""

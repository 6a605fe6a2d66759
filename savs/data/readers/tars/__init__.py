"""WebDataset tars as rows, and labels for them."""

"""Media inside of tars and tables: their addresses, and how they are opened."""

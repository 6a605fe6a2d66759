"""How a network's layers are run: patches, attention, norms, rotations and widths."""

"""Redis: the board, the messages, and what workers refuse. Never the truth, which is the ledger."""

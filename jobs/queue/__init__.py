"""Redis: the board, the messages, and the jobs that workers refuse. The ledger holds the truth."""

"""Everything that is written to the ledger and the queue, as pydantic models and plain data."""

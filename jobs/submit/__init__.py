"""From a user's request to jobs in the ledger: plans, splits, estimates, retries."""

"""What a job is and how it runs: records, ledger, shards, reduction, queue, and `savs-submit`."""

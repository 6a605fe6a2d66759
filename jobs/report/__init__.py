"""The report: one HTML page of a job that needs no server and no network."""

"""Artifacts: readouts on disk or S3, with all that is needed to use them again."""

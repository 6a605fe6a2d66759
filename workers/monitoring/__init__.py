"""What a worker tells those who watch it: its log lines, and its metrics for Prometheus."""

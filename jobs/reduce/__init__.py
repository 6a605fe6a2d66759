"""From commits to results: sums, summary, status, failures, comparison, and the brake."""

"""A loaded checkpoint: its heads, its prompts, its pixel budgets, and where it is placed."""

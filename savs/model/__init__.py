"""A loaded checkpoint: its heads, its prompts, its pixel budgets, and how its layers are run."""

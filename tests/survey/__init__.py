"""Every image-text-to-text type of the installed transformers, and what savs makes of it.

`python -m tests.survey` prints the section of docs/models.md that says so. `configs` has a config of
every type, `looking` finds the heads of each as `savs.load_model` would, `comparing` holds what savs
reads from each against what its attention gives, and `table` writes both down.
"""

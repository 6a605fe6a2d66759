"""Runs the code blocks of README.md, CONTRIBUTING.md and docs/: `make docs`.

`tables` says what a page's reader has, what is replaced, and what is not run. `blocks` reads the pages,
`shell` runs their commands, `folders` and `drawn` prepare the folders.
"""

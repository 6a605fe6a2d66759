"""Loads a worker's model, and sends the output of `transformers` to the log."""

from contextlib import suppress
from typing import TYPE_CHECKING

from jobs.run import local

if TYPE_CHECKING:
    from savs.model.model import Model


def load(name: str, self_test: bool = True) -> "Model":
    """Returns the model `name`. Raises JobError if savs is installed without its models."""
    with suppress(ImportError):  # `local.load` reports it
        from transformers.utils import logging as theirs

        theirs.disable_default_handler()
        theirs.enable_propagation()
    return local.load(name, self_test)

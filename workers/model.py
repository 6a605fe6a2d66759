"""Loads a worker's model, and makes the libraries' words records like all others."""

from contextlib import suppress
from typing import TYPE_CHECKING

from jobs.run import local

if TYPE_CHECKING:
    from savs.model.model import Model


def load(name: str, self_test: bool = True) -> "Model":
    """The model `name`. Raises JobError where this installation has no models."""
    with suppress(ImportError):  # which `local.load` explains
        from transformers.utils import logging as theirs

        theirs.disable_default_handler()
        theirs.enable_propagation()
    return local.load(name, self_test)

"""The base class of all records in the ledger and the queue, and their parser."""

import json
from typing import Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from savs.errors import LedgerError, NewerLedger, why_invalid

SCHEMA: Literal[1] = 1


class Record(BaseModel):
    """Base class of all records in the ledger and the queue: immutable, no unknown fields. Errors do not
    quote the input: it may be a file that its writer must not see.

    A new field needs a new `schema_version`: an earlier savs then sees that it must leave the record to
    others."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


T = TypeVar("T", bound=Record)


def parse(model: type[T], data: bytes, where: str) -> T:
    """Parse `data`, JSON from the ledger, as a `model`. Raises LedgerError, which names `where`, and
    NewerLedger if it has a later schema version."""
    try:
        return model.model_validate_json(data)
    except (ValidationError, RecursionError, OverflowError) as error:
        if is_newer(model, data):
            raise NewerLedger(f"{where} was written by a newer savs; upgrade this one") from error
        raise LedgerError(f"{where} is not usable: {why_invalid(error, model.model_fields)}") from error


def is_newer(model: type[Record], data: bytes) -> bool:
    """Return whether JSON that cannot be used has a later schema version than `model`."""
    try:
        known = get_args(model.model_fields["schema_version"].annotation)
        return bool(json.loads(data)["schema_version"] > max(known))
    except (ValueError, KeyError, TypeError, RecursionError):
        return False

"""Whom to tell of the end of a job."""

from typing import Annotated, Literal

from pydantic import Field

from jobs.records.record import SCHEMA, Record


class Notification(Record):
    """`notify.json`: the address that is told, once, of the next end of a job. It may contain a secret, so it
    is shown nowhere, and deleted when it was used.

    id  differs each time one is asked for, so that none is sent twice
    """

    schema_version: Literal[1] = SCHEMA
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    url: str

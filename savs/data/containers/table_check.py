"""Checks the metadata of Parquet files in a process of its own: damaged metadata can end the process that
reads them through pyarrow, without an error that could be caught."""

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache

from savs.data.containers.tables import mark_of, open_file, open_parquet
from savs.errors import DatasetError, SavsError, StorageError

SECONDS = 60.0  # for a file, and to begin
SHOWN = 300  # characters of a reason that pyarrow gives
WHOLE = "whole"


def check_tables(addresses: Sequence[str], inside: Sequence[str] | None = None) -> None:
    """Raises DatasetError if one of the Parquet files is damaged, and StorageError if it cannot be read.

    inside  folders that links may not lead out of; None if they may lead anywhere
    """
    given = json.dumps({"addresses": [str(one) for one in addresses], "inside": inside and [*inside]})
    command = [sys.executable, "-P", "-m", "savs.data.containers.table_check"]
    try:
        child = subprocess.run(  # noqa: S603
            command, input=given, capture_output=True, text=True, timeout=SECONDS * (1 + len(addresses))
        )
    except subprocess.TimeoutExpired as error:
        raise DatasetError(f"the metadata of {addresses[0]} cannot be read in time") from error
    said = [json.loads(line) for line in child.stdout.splitlines()]
    for place, address in enumerate(addresses):
        if place >= len(said):
            raise DatasetError(f"{address} is no whole Parquet file: reading its metadata ended a process")
        if said[place] != WHOLE:
            kind = StorageError if said[place]["storage"] else DatasetError
            raise kind(said[place]["why"])


@lru_cache(maxsize=4096)
def check_table(address: str, mark: str, inside: tuple[str, ...] | None) -> None:
    """As `check_tables`, once for a file with this `mark` (`savs.data.containers.tables.mark_of`)."""
    check_tables([address], inside)


def _check(address: str, inside: Sequence[str] | None) -> None:
    with open_file(address, inside) as stream:
        mark_of(stream)
        metadata = open_parquet(stream, address).metadata
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            for place in range(group.num_columns):
                chunk = group.column(place)
                _ = chunk.total_uncompressed_size, chunk.path_in_schema, chunk.statistics


def _main() -> None:
    given = json.load(sys.stdin)
    for address in given["addresses"]:
        said: object = WHOLE
        try:
            _check(address, given["inside"])
        except (SavsError, ValueError, OSError, LookupError, MemoryError) as error:
            own = isinstance(error, SavsError)
            why = str(error) if own else f"{address} is no whole Parquet file: {str(error)[:SHOWN]}"
            said = {"storage": isinstance(error, StorageError), "why": why}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()

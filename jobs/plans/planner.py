"""Cuts a manifest into shards by byte offset, in one pass that validates every row and holds none in memory.

A plan of 10^8 rows is two columns of numbers. Failed rows can be retried in additional shards
(`Retry`); see `jobs.submit.retry`.
"""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from jobs.plans.label_checks import Examples, quoted
from jobs.plans.survey import Survey
from jobs.records.plan import Plan, RowKind
from savs.data.formats import format_of
from savs.data.labels import MAX_LABELS, LabelKinds
from savs.data.rows import Line, is_list, read_rows
from savs.data.samples import Reading, base_of, fields_of, head_of, parse_row
from savs.errors import BadLine, BadRow, ManifestError, SettingsError
from savs.storage import open_parent

SHARD_SECONDS = 120.0  # of one worker's time that a shard should take, if the model's rate is known
SHARD_ROWS: Mapping[RowKind, int] = {"image": 256, "video": 64, "text": 256}  # if it is not
MAX_SHARD_ROWS = 20_000  # a worker holds a shard's rows and answers in memory
KEPT_SHARD_ROWS = 1024  # if it keeps head vectors: those of 28 × 28 heads of 128 are 0.4 GB in memory
MIN_SHARD_ROWS = 16


def plan_manifest(
    url: str,
    shard_rows: int | None,
    *,
    labelled: bool,
    reading: Reading | None = None,
    rates: Mapping[str, float] | None = None,
    survey: Survey | None = None,
    inside: Sequence[str] | None = None,
    most_rows: int = MAX_SHARD_ROWS,
) -> Plan:
    """Return the plan of the manifest at `url`.

    shard_rows  rows of a shard; None: as many as take SHARD_SECONDS
    reading     by default the `general` format, with media next to the manifest
    rates       items per second of one worker per kind of row, if measured
    survey      is filled during the pass
    inside      folders that links to the manifest may not lead out of; None if they may lead anywhere
    most_rows   of a shard whose size is not given

    With `labelled`, unusable rows raise a ManifestError that lists their causes; otherwise they are
    counted, and become error rows when their shards run, unless no row is usable. An invalid JSON list
    raises a ManifestError, too. Raises SettingsError if there are no rows, or with `labelled` only one
    class or no class with two examples; and NotFound.
    """
    found = survey or Survey()
    store, key = open_parent(url, inside)
    reading = reading or Reading(base_of(url))
    if labelled and survey is not None:
        survey.examples = Examples(reading)
    known = format_of(reading.format).fields
    offsets, lines = array("q"), array("q")
    rows = end = 0
    size = shard_rows
    with store.open(key) as stream:
        listed = is_list(head_of(stream))
        for line in manifest_rows(stream, listed, url):
            try:
                row = parse_row(line)
                found.good(fields_of(row, reading.format, labelled=labelled, question=reading.question), line)
                if not known >= row.keys():
                    found.strange(row.keys() - known, line.number)
            except BadRow as error:
                found.wrong(line.number, str(error))
            if size is None:
                size = min(shard_rows_for(found.kind or "image", rates or {}), most_rows)
            if rows % size == 0:
                offsets.append(line.offset)
                lines.append(line.number)
            rows, end = rows + 1, line.offset + line.length
    found.close()
    if found.problems and (labelled or not found.good_rows):
        raise ManifestError(url, list(found.bad.values()), found.problems, found.rows)
    if size is None or not rows:
        raise SettingsError(f"{url} has no rows")
    if labelled:
        _check_kinds(found.kinds, url)
        _check_labels(found.labels, url, rows if found.kinds.list else None)
    return Plan(rows, size, end, found.kind or "image", found.problems, offsets, lines, listed)


def _check_kinds(kinds: LabelKinds, url: str) -> None:
    """Raises SettingsError if some labels are lists and others are not."""
    if kinds.mixed is not None:
        raise SettingsError(f"{url}: {kinds.mixed}")


def _check_labels(labels: Counter[str], url: str, rows: int | None) -> None:
    """Raises SettingsError if no head can be told from another with these examples.

    rows  their number, if their labels are lists
    """
    if not labels:
        raise SettingsError(f"{url}: every list of labels is empty; at least two labels are needed")
    if len(labels) == 1:
        [label] = labels
        raise SettingsError(f"{url}: every label is {quoted(label)}; at least two classes are needed")
    if rows is not None and len(labels) > MAX_LABELS:
        raise SettingsError(
            f"{url}: {len(labels)} labels in lists; at most {MAX_LABELS} are possible: leave rare ones out"
        )
    if everywhere := [label for label, count in labels.items() if count == rows]:
        raise SettingsError(
            f"{url}: all {rows} rows have the label {quoted(everywhere[0])}; add rows without it, or "
            "leave it out"
        )
    if max(labels.values()) == 1 and rows is not None:
        raise SettingsError(
            f"{url}: each of the {len(labels)} labels is that of one row only; at least one needs two "
            "examples. Is 'label' the list of labels?"
        )
    if max(labels.values()) == 1:
        raise SettingsError(
            f"{url}: each of the {len(labels)} rows has a label of its own; at least one class needs two "
            "examples. Is 'label' the class?"
        )


def manifest_rows(stream: IO[bytes], listed: bool, url: str) -> Iterator[Line]:
    """Yield the rows of the manifest at `url`. Raises ManifestError if it is an invalid JSON list."""
    line = 1
    try:
        for row in read_rows(stream, listed):
            line = row.number
            yield row
    except BadRow as error:
        raise ManifestError(url, [BadLine(line, f"at or after this line: {error}")]) from error


def shard_rows_for(kind: RowKind, rates: Mapping[str, float]) -> int:
    """Return how many rows take one worker SHARD_SECONDS; without a known rate, SHARD_ROWS."""
    if kind not in rates:
        return SHARD_ROWS[kind]
    return int(min(max(rates[kind] * SHARD_SECONDS, MIN_SHARD_ROWS), MAX_SHARD_ROWS))

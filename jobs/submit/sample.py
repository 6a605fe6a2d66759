"""Draws the rows of a pilot evenly from its corpus."""

import random
from array import array
from collections.abc import Sequence
from io import BytesIO

from jobs.ledger.pilots import sample_line
from jobs.records.job import PilotSpec
from jobs.records.plan import Plan
from savs.data.rows import Line, read_rows
from savs.errors import NotFound
from savs.storage import open_parent

SHARD_ROWS = 64  # so that 800 rows occupy a dozen workers


def plan_pilot(spec: PilotSpec, corpus: Plan, inside: Sequence[str] | None = None) -> tuple[Plan, bytes]:
    """Return the plan of a pilot and its sample, whose lines the plan's offsets refer to.

    corpus  the plan of its manifest
    inside  folders that links to the manifest may not lead out of; None if they may lead anywhere

    Of n rows, the i-th of k is row floor((i + u) · n / k), with u from 0 to 1 by the seed. Raises NotFound
    if the manifest is gone.
    """
    count = min(spec.rows, corpus.rows)
    shift = random.Random(spec.seed).random()
    wanted = [int((place + shift) * corpus.rows / count) for place in range(count)]
    lines = [sample_line(line) for line in _lines(spec, corpus, wanted, inside)]
    size = spec.shard_size or SHARD_ROWS
    offsets, end = array("q"), 0
    for place, line in enumerate(lines):
        if place % size == 0:
            offsets.append(end)
        end += len(line)
    numbers = array("q", range(1, len(lines) + 1, size))
    return Plan(len(lines), size, end, corpus.kind, 0, offsets, numbers), b"".join(lines)


def _lines(spec: PilotSpec, corpus: Plan, wanted: list[int], inside: Sequence[str] | None) -> list[Line]:
    """Return the rows of these indices, in ascending order. Only the shards that have one are read."""
    store, key = open_parent(spec.data.url, inside)
    left, found = set(wanted), []
    for number in sorted({index // corpus.shard_rows for index in wanted}):
        shard = corpus.shard(number)
        try:
            data = store.read_range(key, shard.offset, shard.length)
        except NotFound as error:
            raise NotFound(spec.data.gone) from error
        rows = read_rows(BytesIO(data), shard.listed, shard.first_index, shard.first_line, inside=True)
        found += [line for line in rows if line.index in left]
    return found

"""Picks the rows of a labelled corpus that are most worth labelling by hand: doubtful ones, unlike one
another."""

import math
from array import array
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from jobs.ledger.artifacts import located
from jobs.ledger.corpus_vectors import corpus_vectors
from jobs.ledger.ledger import Ledger
from jobs.records.job import ClassifySpec, Job
from jobs.shards.keep import kept_layout
from savs.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np

Row = dict[str, Any]
CONSIDERED = 8000  # rows, evenly spread over the corpus, of which the most doubtful are candidates
CANDIDATES = 0.25  # of these rows, copies not counted
PER_ITEM = 5  # candidates for each item that is wanted, at least


@dataclass(frozen=True)
class Suggestions:
    """Rows to label, the most doubtful first. `varied` says whether their vectors were compared; `free` is
    the number of rows that they were picked from: those without an error and without a known label."""

    rows: list[Row]
    varied: bool
    free: int


def suggest(ledger: Ledger, job: Job, count: int, read: Callable[[], Iterator[Row]]) -> Suggestions:
    """Return at most `count` rows of a classify job to label.

    With kept vectors, k-means divides the most doubtful rows into `count` clusters, and one of each is
    picked; two rows that show nearly the same are never picked. Without, the most doubtful rows of each
    predicted class are picked in turn. The same rows give the same suggestions.

    read  returns the rows that can be picked, each time from the first on

    Raises SettingsError if there is none, or none says how certain its label is.
    """
    indices, doubts = array("q"), array("d")
    free = 0
    for row in read():
        if row.get("error") or row.get("label") is not None:
            continue
        free += 1
        doubt = doubt_of(row)
        if doubt is not None:
            indices.append(row["index"])
            doubts.append(doubt)
    if not indices:
        why = "says how certain its label is" if free else "is without an error and without a known label"
        raise SettingsError(f"nothing to suggest: no row of job {job.job_id} {why}")
    spec = located(ledger, job).spec
    assert isinstance(spec, ClassifySpec)
    if spec.keep_vectors is not None and (places := _varied(ledger, job, spec, count, indices, doubts)):
        return Suggestions(_rows_at(read(), places), True, free)
    places = _balanced(read(), {*_most_doubtful(indices, doubts, PER_ITEM * count)}, count)
    return Suggestions(_rows_at(read(), places), False, free)


def doubt_of(row: Row) -> float | None:
    """Return how doubtful a row's label is: one minus the lead of the likeliest class over the second, 0 to
    1; for lists of labels the entropy of all labels, in nats. None if the row does not say."""
    scores, votes, confidence = row.get("scores"), row.get("votes"), row.get("confidence")
    if "predictions" in row:
        return None if not scores else sum(map(_entropy, scores.values()))
    shares: list[float] = sorted((scores or votes or {}).values(), reverse=True)
    if shares and sum(shares) > 0:
        return 1 - (shares[0] - sum(shares[1:2])) / (1 if scores else sum(shares))
    return None if confidence is None else 1 - confidence


def _entropy(p: float) -> float:
    return -sum(one * math.log(one) for one in (p, 1 - p) if one > 0)


def runner_up(row: Row) -> str | None:
    """Return the class that is likeliest after the prediction; None if there is no other."""
    shares: dict[str, float] = row.get("scores") or row.get("votes") or {}
    first = {*(row.get("predictions") or ()), row.get("prediction")}
    if row.get("prediction") is None and "predictions" not in row and shares:
        first = {max(shares, key=shares.__getitem__)}
    return max((name for name in shares if name not in first), key=shares.__getitem__, default=None)


def _most_doubtful(indices: "array[int]", doubts: "array[float]", count: int) -> list[int]:
    """Return the indices of the `count` most doubtful rows, the most doubtful first."""
    import numpy as np

    order = np.argsort(-np.array(doubts), kind="stable")[:count]
    found: list[int] = np.array(indices)[order].tolist()
    return found


def _varied(
    ledger: Ledger, job: Job, spec: ClassifySpec, count: int, indices: "array[int]", doubts: "array[float]"
) -> list[int]:
    """Return the indices of varied rows; none if there are no vectors."""
    import numpy as np

    from savs.estimators.variety import pick_varied

    considered = max(CONSIDERED, round(count * PER_ITEM / CANDIDATES))
    if len(indices) > considered:
        places = np.linspace(0, len(indices) - 1, considered).astype(int).tolist()
        indices = array("q", (indices[place] for place in places))
        doubts = array("d", (doubts[place] for place in places))
    vectors = _vectors(ledger, job, spec, {*indices})
    order = [index for index in _most_doubtful(indices, doubts, len(indices)) if index in vectors]
    if not order:
        return []
    candidates = max(PER_ITEM * count, round(len(order) * CANDIDATES))
    picked = pick_varied(np.stack([vectors[index] for index in order]), count, candidates)
    return [order[place] for place in picked]


def _vectors(
    ledger: Ledger, job: Job, spec: ClassifySpec, wanted: Collection[int]
) -> "dict[int, np.ndarray]":
    """Return the vectors of some rows, over the heads that the readout uses: each head at length 1."""
    import numpy as np

    from savs.artifact.artifact import load_artifact
    from savs.estimators.features import unit_rows
    from savs.estimators.variety import sketch

    assert spec.artifact is not None  # of a job that keeps vectors
    used = kept_layout("heads", load_artifact(spec.artifact).readout)
    assert used is not None
    spans = tuple((one.start, one.stop) for one in used.slices().values())
    found: dict[int, np.ndarray] = {}
    for rows, part in corpus_vectors(ledger, job.job_id):
        places = [place for place, row in enumerate(rows) if row.index in wanted]
        if places:
            values = part[places].part(used).values
            unit = np.concatenate([block for _, block in unit_rows(values, spans)])
            found |= zip((rows[place].index for place in places), sketch(unit), strict=True)
    return found


def _balanced(rows: Iterator[Row], candidates: Collection[int], count: int) -> list[int]:
    """Return the indices of the most doubtful of some rows, of each predicted class in turn."""
    classes: dict[str, list[tuple[float, int]]] = {}
    for row in rows:
        if row["index"] in candidates:
            shares = row.get("scores") or row.get("votes") or {}
            likeliest = row.get("prediction") or max(shares, key=shares.__getitem__, default="")
            classes.setdefault(likeliest, []).append((-(doubt_of(row) or 0.0), row["index"]))
    turns = zip_longest(*(sorted(classes[name]) for name in sorted(classes)))
    found = [one for one in chain.from_iterable(turns) if one is not None][:count]
    return [index for _, index in sorted(found)]


def _rows_at(rows: Iterator[Row], places: list[int]) -> list[Row]:
    wanted = {*places}
    found = {row["index"]: row for row in rows if row["index"] in wanted}
    return [found[place] for place in places]

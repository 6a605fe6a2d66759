"""The rows of a corpus with the labels of an artifact that was fitted again, from kept vectors."""

import json
from collections.abc import Iterator
from typing import Any

from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from jobs.records.job import Job
from jobs.refit.relabel import Refitted, Relabelled

Row = dict[str, Any]


def relabelled_rows(ledger: Ledger, job: Job, again: Refitted) -> Iterator[Row]:
    """Yield the rows of a classify job with their new labels, in the order of the corpus, and fill in
    `again.found`. Rows without vectors and unusable ones stay as they are."""
    from savs.readout.classify import classify, with_rule

    readout, found = with_rule(again.artifact.readout, again.rule), again.found
    vectors = iter(again.vectors or ())
    answers: dict[int, Any] = {}
    last = -1  # row of the part that was read last; both are in the order of the corpus
    for line in result_rows(ledger, job.job_id):
        row: Row = json.loads(line)
        while last < row["index"] and (part := next(vectors, None)) is not None:
            said = classify(readout, part[1])
            answers = {one.index: answer for one, answer in zip(part[0], said, strict=True)}
            last = part[0][-1].index
        answer = answers.get(row["index"])
        correction = again.corrections.of_row(row["index"], row["id"])
        if correction is not None and correction.label is None:
            found.unusable += 1
            yield row
        elif answer is None:
            found.without += 1
            yield row
        else:
            after = row | _fields(answer, again.rule.threshold) | {"artifact": again.artifact.digest}
            _count(found, row, after, correction is not None)
            yield after


def _fields(answer: Any, least: float) -> Row:
    from savs.readout.answer import MultiAnswer

    scores = {name: rounded for name, share in answer.scores.items() if (rounded := round(share, 6))}
    if isinstance(answer, MultiAnswer):
        return {"predictions": [*answer.predictions], "scores": scores}
    return {
        "prediction": answer.prediction if answer.confidence >= least else None,
        "votes": {name: count for name, count in answer.votes.items() if count},
        "confidence": round(answer.confidence, 6),
        "margin": None if answer.margin is None else round(answer.margin, 6),
        "entropy": None if answer.entropy is None else round(answer.entropy, 6),
        "scores": scores or None,
    }


def _count(found: Relabelled, before: Row, after: Row, corrected: bool) -> None:
    found.rows += 1
    old, new = _said(before), _said(after)
    if old != new:
        found.flips[old, new] += 1
    label = before.get("label")
    if label is not None and not corrected:
        known = ", ".join(sorted(label)) if isinstance(label, list) else label
        found.known += 1
        found.right = found.right[0] + (old == known), found.right[1] + (new == known)


def _said(row: Row) -> str:
    if "predictions" in row:
        return ", ".join(sorted(row["predictions"]))
    return row["prediction"] if row["prediction"] is not None else "(no prediction)"

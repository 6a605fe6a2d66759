"""Result rows as their scores see them, and scores as summaries have them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from jobs.rows import Row
from savs.metrics import Scores
from savs.ranking import shares
from savs.samples import Sample
from savs.scored import Scored


def scored(rows: Iterable[Row], samples: Mapping[int, Sample], format: str) -> Iterator[Scored]:
    """Each row, with what the manifest says of groups and splits.

    samples  by index; a row that is none says nothing of them
    """
    for row in rows:
        sample = samples.get(row.index)
        yield Scored(
            index=row.index,
            prediction=row.prediction,
            label=row.label,
            error=row.error.kind if row.error else None,
            scores=shares(row.votes) if row.scores is None else row.scores,
            format=format,
            group=sample.group if sample else None,
            split=sample.split if sample else None,
            media=row.media,
        )


def scores_of(scores: Scores) -> dict[str, Any]:
    """The fields of a summary that are scores. Those that the rows say nothing of are left out."""
    fields = {
        "scored": scores.rows,
        "accuracy": scores.accuracy,
        "accuracy_interval": scores.accuracy_interval,
        "balanced_accuracy": scores.balanced_accuracy,
        "macro_f1": scores.macro_f1,
        "mean_average_precision": scores.mean_average_precision,
        "per_class": {name: asdict(one) for name, one in scores.classes.items()},
        "per_class_accuracy": scores.per_class,
        "confusion": scores.confusion,
        "splits": {split: asdict(rate) for split, rate in scores.splits.items()} or None,
        "groups": {format: asdict(one) for format, one in scores.groups.items()} or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def group_warnings(scores: Scores) -> list[str]:
    """What is odd about the groups of rows that were scored together."""
    warnings = []
    for format, groups in scores.groups.items():
        if groups.unlike:
            warnings.append(
                f"{groups.unlike} of {groups.scored} groups do not show the pictures that {format} says; "
                "are the rows those of the published file, in its order?"
            )
        if groups.doubled:
            warnings.append(
                f"{groups.doubled} groups have several rows of the same label, and are not scored"
            )
    return warnings

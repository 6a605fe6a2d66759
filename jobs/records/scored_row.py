"""Converts result rows to the rows that scores are computed from."""

from collections.abc import Iterable, Iterator, Mapping

from jobs.records.row import ResultRow
from savs.data.labels import labels_in
from savs.data.samples import Sample
from savs.scores.ranking import shares
from savs.scores.scored import Scored


def scored(rows: Iterable[ResultRow], samples: Mapping[int, Sample], format: str) -> Iterator[Scored]:
    """Yield each row, with its group and split in the manifest.

    samples  by index; a row without a sample has neither

    A row with one prediction has no label if that is a list, since it cannot be said to be right.
    """
    for row in rows:
        sample = samples.get(row.index)
        known = row.label is not None
        yield Scored(
            index=row.index,
            prediction=row.prediction,
            label=row.label if isinstance(row.label, str) else None,
            error=row.error.kind if row.error else None,
            scores=shares(row.votes) if row.scores is None else row.scores,
            format=format,
            group=sample.group if sample else None,
            split=sample.split if sample else None,
            media=row.media,
            confidence=row.confidence,
            likeliest=_likeliest(row),
            probabilistic=row.scores is not None,
            predictions=row.predictions,
            labels=labels_in(row.label) if known else None,
        )


def _likeliest(row: ResultRow) -> str | None:
    """Return the class of the highest score, the first of equals, of a row that abstained; else None."""
    if row.prediction is not None or row.error is not None or not row.scores:
        return None
    return max(row.scores, key=row.scores.__getitem__)

"""Scores of rows that may have several labels or none, from counts that can be added up."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from savs.scores.clusters import Cell, Clusters, RatePart
from savs.scores.intervals import rate_of
from savs.scores.ranking import Ranking, average_precisions


@dataclass
class MultiCounts:
    """Counts over rows whose labels are known.

    rows       all of them, and by cluster whether their labels are exactly those that were predicted
    predicted  rows per predicted label
    hits       rows per label that they have and that was predicted
    ranking    rows per label, and by the scores of the labels
    """

    rows: Clusters = field(default_factory=Clusters)
    predicted: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    ranking: Ranking = field(default_factory=Ranking)
    total: int = 0

    def add(
        self,
        labels: Collection[str],
        predictions: Collection[str],
        scores: Mapping[str, float],
        cluster: int | None = None,
        split: str | None = None,
    ) -> None:
        """Count a row. `scores` are 0 to 1; a label that is left out has 0. `cluster` is shared by rows that
        are not independent."""
        own, said = set(labels), set(predictions)
        self.total += 1
        self.rows.add(Cell((int(own == said),), split), cluster)
        self.predicted.update(said)
        self.hits.update(own & said)
        self.ranking.add_many(own, scores)

    def update(self, other: "MultiCounts") -> None:
        """Add `other` to this one."""
        self.total += other.total
        self.rows.update(other.rows)
        self.predicted.update(other.predicted)
        self.hits.update(other.hits)
        self.ranking.update(other.ranking)


@dataclass(frozen=True)
class LabelScores:
    """One label. A score is None if there are no rows for it.

    support            rows that have it
    true_positives     rows that have it and for which it was predicted; `false_positives` do not have it,
                       and `false_negatives` have it without a prediction
    f1                 2 TP / (2 TP + FP + FN)
    average_precision  how well its score ranks the rows that have it before all others
    """

    support: int
    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float | None
    recall: float | None
    f1: float
    average_precision: float | None


@dataclass(frozen=True)
class MultiScores:
    """The scores of the rows whose labels are known.

    exact_match  share of rows whose labels are exactly those that were predicted, with its interval of 95 %,
                 which is wider if rows share media (`savs.scores.intervals`)
    micro_f1     F1 of all pairs of a row and a label; None if there is neither a label nor a prediction
    macro_f1     mean F1 of all labels that a row has or that were predicted
    mean_average_precision  of the labels that a row has
    labels       label → its scores, sorted
    """

    rows: int
    exact_match: float
    exact_match_interval: tuple[float, float]
    micro_f1: float | None
    macro_f1: float | None
    mean_average_precision: float | None
    labels: dict[str, LabelScores]


def score_multi(counts: MultiCounts) -> MultiScores | None:
    """Return the scores; None if there are no rows with known labels."""
    if not counts.total:
        return None
    exact = rate_of(counts.rows.sizes(_exact)["exact", None])
    precisions = average_precisions(counts.ranking, counts.total)
    support = counts.ranking.labels
    labels = {
        name: _label_scores(support[name], counts.predicted[name], counts.hits[name], precisions.get(name))
        for name in sorted(support.keys() | counts.predicted.keys())
        if support[name] or counts.predicted[name]
    }
    pairs = support.total() + counts.predicted.total()
    return MultiScores(
        rows=counts.total,
        exact_match=exact.rate,
        exact_match_interval=exact.interval,
        micro_f1=2 * counts.hits.total() / pairs if pairs else None,
        macro_f1=sum(one.f1 for one in labels.values()) / len(labels) if labels else None,
        mean_average_precision=sum(precisions.values()) / len(precisions) if precisions else None,
        labels=labels,
    )


def _exact(cell: Cell) -> Iterable[RatePart]:
    [hit] = cell.outcome
    return [(("exact", None), 1, hit)]


def _label_scores(support: int, predicted: int, hits: int, average_precision: float | None) -> LabelScores:
    return LabelScores(
        support=support,
        true_positives=hits,
        false_positives=predicted - hits,
        false_negatives=support - hits,
        precision=hits / predicted if predicted else None,
        recall=hits / support if support else None,
        f1=2 * hits / (support + predicted),
        average_precision=average_precision,
    )

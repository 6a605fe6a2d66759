"""Scores from counts that can be added up, so that shards of any size and order give the same result.

`Tally` is the whole state: two tallies of different rows add up to the tally of both. A failed row counts
only as an error, so a row that is retried later only adds the missing counts.

    tally = Tally()
    for sample, answer in zip(corpus.samples, answers):
        tally.add(
            Scored(sample.index, answer.prediction, sample.label,
                   scores=shares(answer.votes), media=sample.media, confidence=answer.confidence)
        )
    score(tally).accuracy_interval
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from savs.data.formats import Seat
from savs.scores.calibration import Calibration, Confidences, calibrate
from savs.scores.class_shares import Probabilities
from savs.scores.clusters import Cell, Clusters, RateName, RatePart
from savs.scores.groups import GROUPINGS, MILLION, PREFERRED, Groups, GroupScores, Member, score_groups
from savs.scores.intervals import Rate, Sizes, clustered, rate_of
from savs.scores.multi import MultiCounts
from savs.scores.ranking import Ranking, average_precisions
from savs.scores.scored import Scored


@dataclass
class Tally:
    """Counts over result rows.

    predicted  rows per predicted class
    confusion  rows per (label, prediction), if the label is known
    errors     rows per kind of error
    rows       rows with a label and a prediction, by cluster
    ranking    those of them that have scores, by their scores
    groups     format → its groups
    confidences    rows with a label and a confidence, by their confidence
    probabilities  rows whose scores are probabilities, with or without a label
    multi          rows with several labels per item (`savs.scores.multi`), which count for nothing else but
                   `predicted` and `errors`
    """

    predicted: Counter[str] = field(default_factory=Counter)
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    rows: Clusters = field(default_factory=Clusters)
    ranking: Ranking = field(default_factory=Ranking)
    groups: dict[str, Groups] = field(default_factory=dict)
    confidences: Confidences = field(default_factory=Confidences)
    probabilities: Probabilities = field(default_factory=Probabilities)
    multi: MultiCounts = field(default_factory=MultiCounts)

    @property
    def accuracy(self) -> float | None:
        """The same as that of `score`, computed without the other scores."""
        rows = self.confusion.total()
        right = sum(count for (label, prediction), count in self.confusion.items() if label == prediction)
        return right / rows if rows else None

    def add(self, row: Scored) -> None:
        """Count one row. Raises SettingsError if its format does not exist."""
        if row.predictions is not None:
            self._add_multi(row, row.predictions)
            return
        if (seat := row.seat) is not None:
            self._groups(row.format).see(seat.group)
        if row.error is not None:
            self.errors[row.error] += 1
            return
        if row.probabilistic:
            self.probabilities.add(row.scores)
        likeliest = row.prediction if row.likeliest is None else row.likeliest
        if row.label is not None and row.confidence is not None and likeliest is not None:
            self.confidences.add(row.confidence, likeliest == row.label)
        if row.prediction is not None:
            self.predicted[row.prediction] += 1
            if row.label is not None:
                self._score(row, row.label, row.prediction, seat)

    def _add_multi(self, row: Scored, predictions: tuple[str, ...]) -> None:
        if row.error is not None:
            self.errors[row.error] += 1
            return
        self.predicted.update(predictions)
        if row.labels is not None:
            self.multi.add(row.labels, predictions, row.scores, row.picture, row.split)

    def _score(self, row: Scored, label: str, prediction: str, seat: Seat | None) -> None:
        right = int(label == prediction)
        self.confusion[label, prediction] += 1
        self.rows.add(Cell((right,), row.split, (label, prediction)), row.cluster)
        if row.scores:
            self.ranking.add(label, row.scores)
        if seat is None or seat.role not in GROUPINGS[row.format].roles:
            return
        if not GROUPINGS[row.format].ranked:
            self._groups(row.format).add(*seat, Member(right, row.picture, row.split))
        elif row.scores:
            value = round(MILLION * row.scores.get(PREFERRED, 0.0))
            self._groups(row.format).add(*seat, Member(value, row.picture, row.split))

    def _groups(self, format: str) -> Groups:
        return self.groups.setdefault(format, Groups(format))

    def update(self, other: "Tally") -> None:
        """Add `other` to this one."""
        self.predicted.update(other.predicted)
        self.confusion.update(other.confusion)
        self.errors.update(other.errors)
        self.rows.update(other.rows)
        self.ranking.update(other.ranking)
        for format, groups in other.groups.items():
            self._groups(format).update(groups)
        self.confidences.update(other.confidences)
        self.probabilities.update(other.probabilities)
        self.multi.update(other.multi)

    def __add__(self, other: "Tally") -> "Tally":
        return total([self, other])


@dataclass(frozen=True)
class ClassScores:
    """One class, as a label and as a prediction. A score is None if there are no rows for it.

    rows       rows with this label
    recall     share of those that were predicted as this class, with its interval
    precision  share of the rows predicted as this class that have the label, with its interval
    f1         their harmonic mean, 2 TP / (2 TP + FP + FN)
    average_precision  how well its score ranks its rows before all others (`savs.scores.ranking`)
    """

    rows: int
    recall: float | None
    recall_interval: tuple[float, float] | None
    precision: float | None
    precision_interval: tuple[float, float] | None
    f1: float
    average_precision: float | None


@dataclass(frozen=True)
class Scores:
    """The scores of the labelled rows.

    Intervals are 95 % intervals, and wider if rows share an image or a group (`savs.scores.intervals`).
    Those of single classes are so up to `savs.scores.clusters.MAX_EXACT` rows, and Wilson's beyond.

    accuracy           share of rows whose prediction is their label
    balanced_accuracy  mean recall of the labels
    macro_f1           mean F1 of all classes that are a label or a prediction
    mean_average_precision  of the labels; None if rows have no scores
    per_class          accuracy of the rows of each label (recall), labels sorted
    confusion          label → prediction → rows
    splits             accuracy of the rows of each split
    groups             format → scores of its groups
    calibration        scores of the confidence, also of labelled rows that abstained; None without any
    """

    rows: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    balanced_accuracy: float
    macro_f1: float
    mean_average_precision: float | None
    per_class: dict[str, float]
    classes: dict[str, ClassScores]
    confusion: dict[str, dict[str, int]]
    splits: dict[str, Rate]
    groups: dict[str, GroupScores]
    calibration: Calibration | None


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum of all tallies."""
    sums = Tally()
    for tally in tallies:
        sums.update(tally)
    return sums


def score(tally: Tally) -> Scores | None:
    """Scores of the rows with a known label and a prediction; None if there are none."""
    rows = tally.confusion.total()
    if not rows:
        return None
    confusion: dict[str, dict[str, int]] = {}
    predicted: Counter[str] = Counter()
    for (label, prediction), count in sorted(tally.confusion.items()):
        confusion.setdefault(label, {})[prediction] = count
        predicted[prediction] += count
    right = {label: counts.get(label, 0) for label, counts in confusion.items()}
    labelled = {label: sum(counts.values()) for label, counts in confusion.items()}
    per_class = {label: right[label] / labelled[label] for label in confusion}
    precisions = average_precisions(tally.ranking)
    sizes = tally.rows.sizes(_rates)
    classes = {
        name: _class_scores(
            name, right.get(name, 0), labelled.get(name, 0), predicted[name], sizes, precisions.get(name)
        )
        for name in sorted(confusion.keys() | predicted.keys())
    }
    return Scores(
        rows=rows,
        accuracy=sum(right.values()) / rows,
        accuracy_interval=_interval(sizes, ("accuracy", None), sum(right.values()), rows),
        balanced_accuracy=sum(per_class.values()) / len(per_class),
        macro_f1=sum(one.f1 for one in classes.values()) / len(classes),
        mean_average_precision=sum(precisions.values()) / len(precisions) if precisions else None,
        per_class=per_class,
        classes=classes,
        confusion=confusion,
        splits={
            split: rate_of(sizes[rate, split])
            for rate, split in sorted(sizes, key=str)
            if rate == "split" and split is not None
        },
        groups={
            format: scores
            for format, groups in sorted(tally.groups.items())
            if (scores := score_groups(groups)) is not None
        },
        calibration=calibrate(tally.confidences),
    )


def _rates(cell: Cell) -> Iterable[RatePart]:
    """The rates that a labelled row counts for; those of its classes only while names are kept."""
    [hit] = cell.outcome
    yield ("accuracy", None), 1, hit
    if cell.split is not None:
        yield ("split", cell.split), 1, hit
    if cell.names:
        label, prediction = cell.names
        yield ("recall", label), 1, hit
        yield ("precision", prediction), 1, hit


AllSizes = Mapping[RateName, Sizes]


def _class_scores(
    name: str, right: int, labelled: int, predicted: int, sizes: AllSizes, average_precision: float | None
) -> ClassScores:
    return ClassScores(
        rows=labelled,
        recall=right / labelled if labelled else None,
        recall_interval=_interval(sizes, ("recall", name), right, labelled) if labelled else None,
        precision=right / predicted if predicted else None,
        precision_interval=_interval(sizes, ("precision", name), right, predicted) if predicted else None,
        f1=2 * right / (labelled + predicted),
        average_precision=average_precision,
    )


def _interval(sizes: AllSizes, rate: RateName, hits: int, rows: int) -> tuple[float, float]:
    """The interval of a rate; each row that is in none of its clusters is a cluster of its own."""
    known = Counter(sizes.get(rate, {}))
    rest = rows - sum(n * count for (n, _), count in known.items())
    right = hits - sum(h * count for (_, h), count in known.items())
    return clustered(known + Counter({(1, 1): right, (1, 0): rest - right}))

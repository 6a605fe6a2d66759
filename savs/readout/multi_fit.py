"""Fits a readout with several labels per item on lists of labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from savs.data.labels import MAX_LABELS
from savs.engine.vectors import HeadVectors
from savs.errors import FitError
from savs.readout.fit import check_finite, check_heads, check_vectors, texts
from savs.readout.multi import MultiReadout
from savs.readout.records import MULTI, Choice, ReadoutScore, Suspect

if TYPE_CHECKING:
    import numpy as np

    from savs.estimators.multi import MultiFit

ASKED = ("auto", "ridge")  # readouts that can be asked for with lists of labels
SHOWN = 5  # labels that an error names


@dataclass(frozen=True)
class MultiFitted:
    """A readout with several labels per item and how it came about; suspects, most certain first."""

    readout: MultiReadout
    choice: Choice
    suspects: tuple[Suspect, ...]


def has_lists(labels: Sequence[object]) -> bool:
    """Return whether any label is a list or tuple of labels, and not one text."""
    return any(isinstance(label, list | tuple) for label in labels)


def fit_lists(
    vectors: HeadVectors,
    labels: Sequence[object],
    asked: str,
    heads: int | None = None,
    classes: Sequence[str] | None = None,
    unlabelled: HeadVectors | None = None,
) -> MultiFitted:
    """Return a readout of n rows with n lists of labels.

    asked       "auto" or "ridge"
    heads       how many heads it may use; by default all
    classes     order of the labels; by default as they first appear
    unlabelled  vectors of rows of the corpus: the scale of the features is also theirs

    Raises FitError if they cannot be fitted: a label that all examples have, or none.
    """
    import numpy as np

    from savs.estimators.multi import fit_multi
    from savs.estimators.shift import UNLIKE, difference

    if asked not in ASKED:
        raise FitError(
            f"the labels are lists, and the readout {asked!r} gives each item one label; use 'auto' "
            "or 'ridge' (--readout auto), or write one text per example"
        )
    check_vectors(vectors)
    rows = _rows(labels)
    check_heads(vectors, rows, 1 if heads is None else heads)
    check_finite(vectors)
    order = list(dict.fromkeys(chain(*rows))) if classes is None else texts(classes)
    targets = _targets(rows, order)
    places = list(vectors.layout.slices().items())
    spans = [(columns.start, columns.stop) for _, columns in places]
    values = np.asarray(vectors.values, np.float32)
    others = None if unlabelled is None else np.asarray(unlabelled.values, np.float32)
    told = None if others is None else difference(values, others, spans)
    apart = told is not None and told >= UNLIKE
    found = fit_multi(values, targets, spans, others, apart)
    ranked = np.argsort(-found.weights, kind="stable")
    if heads is not None and heads < len(spans):
        ranked = ranked[:heads]
        kept = np.sort(ranked)
        columns = np.concatenate([np.arange(*spans[head]) for head in kept])
        ends = np.cumsum([0, *(spans[head][1] - spans[head][0] for head in kept)]).tolist()
        few = list(pairwise(ends))
        some = None if others is None else others[:, columns]
        found = fit_multi(values[:, columns], targets, few, some, apart)
    readout = _readout(found, order, vectors, places, np.sort(ranked), ranked)
    choice = Choice(
        asked=asked,
        chosen=MULTI,
        why="the labels are lists",
        table=(_scored(found, targets),),
        difference=None if told is None else round(max(told, -1.0), 4),
        apart=apart,
    )
    return MultiFitted(
        readout, choice, _suspects(found.loo, found.loo >= found.thresholds, targets, rows, order)
    )


def _rows(labels: Sequence[object]) -> list[tuple[str, ...]]:
    """Return the lists. Raises FitError if one is something else, or has a label twice."""
    found = []
    for index, label in enumerate(labels):
        if not isinstance(label, list | tuple):
            what = "None" if label is None else f"of type {type(label).__name__}"
            raise FitError(
                f"label {index} is {what} and others are lists; pass a list for each row, also of one label"
            )
        try:
            row = tuple(texts(label))
        except FitError as error:
            raise FitError(f"label {index} is a list, in which {error}") from error
        if len(set(row)) < len(row):
            raise FitError(f"label {index} is a list that has a label twice: {row!r}")
        found.append(row)
    return found


def _targets(rows: Sequence[tuple[str, ...]], order: Sequence[str]) -> "np.ndarray":
    """Return bool [rows, labels]: which row has which label. Raises FitError if a label is not in `order`, or
    has no example, or if all have it."""
    import numpy as np

    number = {name: place for place, name in enumerate(order)}
    if len(number) < len(order):
        raise FitError("a class is listed twice")
    if unknown := sorted({name for row in rows for name in row} - set(number)):
        raise FitError(f"labels that are not classes: {_shown(unknown)}")
    if len(order) < 2:
        raise FitError(f"at least two labels are needed; found {list(order) or 'none'}")
    if len(order) > MAX_LABELS:
        raise FitError(f"{len(order)} labels; at most {MAX_LABELS} are possible: leave rare ones out")
    targets = np.zeros((len(rows), len(order)), bool)
    for place, row in enumerate(rows):
        targets[place, [number[name] for name in row]] = True
    if empty := [name for name, some in zip(order, np.any(targets, axis=0), strict=True) if not some]:
        raise FitError(f"no example has the label {_shown(empty)}")
    if everywhere := [name for name, all_ in zip(order, np.all(targets, axis=0), strict=True) if all_]:
        raise FitError(
            f"every example has the label {_shown(everywhere)}; add examples without it, or leave it out"
        )
    return targets


def _shown(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:SHOWN])) + (", …" if names[SHOWN:] else "")


def _readout(
    found: "MultiFit",
    order: list[str],
    vectors: HeadVectors,
    places: list[tuple[tuple[int, int], slice]],
    kept: "np.ndarray",
    ranked: "np.ndarray",
) -> MultiReadout:
    """Return the readout of a fit over the heads `kept`, ranked from the heaviest on."""
    import numpy as np

    own = {
        int(head): found.map.weights[slice(*span)] for head, span in zip(kept, found.map.spans, strict=True)
    }
    return MultiReadout(
        mode=MULTI,
        classes=tuple(order),
        heads=np.array([places[head][0] for head in ranked], dtype=np.int32).reshape(-1, 2),
        weights=np.concatenate([own[int(head)] for head in ranked]).astype(np.float32),
        intercept=found.map.intercept.astype(np.float32),
        slopes=found.slopes.astype(np.float32),
        offsets=found.offsets.astype(np.float32),
        thresholds=found.thresholds.astype(np.float32),
        layout=vectors.layout,
    )


def _scored(found: "MultiFit", targets: "np.ndarray") -> ReadoutScore:
    import numpy as np

    from savs.scores.ranking import Ranking, average_precisions

    ranking = Ranking()
    names = [str(number) for number in range(targets.shape[1])]
    for row, probabilities in zip(targets, found.loo.tolist(), strict=True):
        labels = [name for name, has in zip(names, row, strict=True) if has]
        ranking.add_many(labels, dict(zip(names, probabilities, strict=True)))
    precisions = average_precisions(ranking, len(targets))
    right = ((found.loo >= found.thresholds) == targets).all(1)
    clipped = np.clip(found.loo, 1e-12, 1 - 1e-12)
    loss = -np.where(targets, np.log(clipped), np.log1p(-clipped)).mean()
    return ReadoutScore(
        readout=MULTI,
        how="leave-one-out",
        rows=len(targets),
        accuracy=float(right.mean()),
        log_loss=round(float(loss), 6),
        average_precision=min(1.0, round(sum(precisions.values()) / len(precisions), 6)),
    )


def _suspects(
    loo: "np.ndarray",
    said: "np.ndarray",
    targets: "np.ndarray",
    rows: Sequence[tuple[str, ...]],
    order: Sequence[str],
) -> tuple[Suspect, ...]:
    """Return the examples whose labels are not those that a fit without them predicts, each with its most
    doubtful label."""
    import numpy as np

    against = np.where(targets == said, 0.0, np.where(targets, 1 - loo, loo))
    worst = against.argmax(1)
    suspects = []
    for row in np.argsort(-against.max(1), kind="stable").tolist():
        label, doubt = order[int(worst[row])], float(against[row, worst[row]])
        if doubt == 0:
            break
        without = tuple(name for name in rows[row] if name != label)
        likelier = without if label in rows[row] else (*rows[row], label)
        suspects.append(Suspect(row=row, label=rows[row], likelier=likelier, probability=round(doubt, 6)))
    return tuple(suspects)

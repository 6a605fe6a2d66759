"""Fits the readout that a user asked for, or chooses one, and records why.

The rule is not a tournament: choosing among many readouts by cross-validation loses to it (`docs/method.md`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args, overload

from savs.data.labels import Label
from savs.engine.vectors import HeadVectors
from savs.errors import FitError
from savs.model.heads import HeadLayout
from savs.readout.classify import AnyReadout, OneLabel
from savs.readout.fit import DEFAULT_HEADS, check_fit, check_vectors, fit_vote, label_list, texts
from savs.readout.linear import LinearReadout
from savs.readout.multi import MultiReadout
from savs.readout.multi_fit import fit_lists, has_lists
from savs.readout.records import Choice, ReadoutScore, Suspect

if TYPE_CHECKING:
    import numpy as np

    from savs.estimators.linear import HeldOut, LinearFit, LinearMap, Problem

Asked = Literal["auto", "reference", "ridge", "corpus", "hec"]
READOUTS: tuple[Asked, ...] = get_args(Asked)
LEAST_EXAMPLES = 3  # per class on average, from which on `auto` does not vote
FEW_EXAMPLES = 5  # per class on average, up to which folds may prefer the ridge to the corpus
LEAST_UNLABELLED = 200  # rows of the corpus from which a readout can learn
ROUGH_EXAMPLES = 10  # per class on average, below which confidence is rough
SHOWN_SUSPECTS = 20


@dataclass(frozen=True)
class Fitted:
    """A readout and how it came about.

    scores    int32 [all heads]: examples that each head alone labels right, as published; None with several
              labels per item
    suspects  most certain first
    """

    readout: AnyReadout
    scores: "np.ndarray | None"
    choice: Choice
    suspects: tuple[Suspect, ...]


@overload
def fit(
    vectors: HeadVectors,
    labels: Sequence[str],
    heads: int | None = None,
    mode: Asked | None = None,
    classes: Sequence[str] | None = None,
    unlabelled: HeadVectors | None = None,
) -> OneLabel: ...


@overload
def fit(
    vectors: HeadVectors,
    labels: Sequence[tuple[str, ...] | list[str]],
    heads: int | None = None,
    mode: Asked | None = None,
    classes: Sequence[str] | None = None,
    unlabelled: HeadVectors | None = None,
) -> MultiReadout: ...


def fit(
    vectors: HeadVectors,
    labels: Sequence[str] | Sequence[tuple[str, ...] | list[str]],
    heads: int | None = None,
    mode: Asked | None = None,
    classes: Sequence[str] | None = None,
    unlabelled: HeadVectors | None = None,
) -> AnyReadout:
    """Fit a readout on labelled head vectors.

    vectors     n rows
    labels      n class names, as text, in a list, an array, or a column of a table; or n lists of them, for a
                readout with several labels per item
    heads       how many heads it may use; by default the best 20 for the vote, as published, and for "hec",
                and all for others
    mode        "reference", the published vote and the default; "ridge"; "corpus", a ridge that also learns
                from `unlabelled`; "hec", Gaussian discriminants of the best heads; or "auto", which chooses.
                With lists of labels: "ridge" or "auto", the default
    classes     order of the classes; by default as they first appear in `labels`
    unlabelled  vectors of rows of the corpus, 200 or more

    Raises FitError, which is also a ValueError: a label that is not text, fewer than two classes, a class
    without examples, more heads than the model has, NaN or infinite vectors, or numbers of vectors and labels
    that differ. If vectors are not HeadVectors, or labels of another type, it is also a TypeError.
    """
    labels = label_list(labels)
    if mode is None:
        mode = "auto" if has_lists(labels) else "reference"
    if mode == "reference" and not has_lists(labels):
        return fit_vote(vectors, texts(labels), DEFAULT_HEADS if heads is None else heads, classes)
    return fit_readout(vectors, labels, mode, heads, classes, unlabelled).readout


def fit_readout(
    vectors: HeadVectors,
    labels: Sequence[str] | Sequence[tuple[str, ...] | list[str]] | Sequence[Label],
    asked: Asked = "auto",
    heads: int | None = None,
    classes: Sequence[str] | None = None,
    unlabelled: HeadVectors | None = None,
) -> Fitted:
    """Return the readout `asked` for, fitted on n labelled rows and, if it can learn from them, on unlabelled
    ones. With lists of labels, each row may have several or none.

    heads       how many heads it may use; by default 20 for the vote and hec, all for others
    unlabelled  vectors of rows of the corpus

    Raises FitError as `savs.readout.fit.fit_vote`.
    """
    if asked not in READOUTS:
        raise FitError(f"{asked!r} is not a readout; use one of {', '.join(READOUTS)}")
    if has_lists(labels):
        learned = unlabelled if unlabelled is not None and len(unlabelled) >= LEAST_UNLABELLED else None
        if learned is not None:
            _check_unlabelled(learned, vectors.layout)
        found = fit_lists(vectors, labels, asked, heads, classes, learned)
        return Fitted(found.readout, None, found.choice, found.suspects[:SHOWN_SUSPECTS])
    labels = texts(labels)
    check_vectors(vectors)
    order = check_fit(vectors, labels, 1 if heads is None else heads, classes)
    if unlabelled is not None:
        _check_unlabelled(unlabelled, vectors.layout)
    mean = len(labels) / len(order)
    if asked == "reference" or (asked == "auto" and mean < LEAST_EXAMPLES):
        why = "asked for" if asked != "auto" else f"fewer than {LEAST_EXAMPLES} examples per class"
        choice = Choice(
            asked=asked, chosen="reference", why=why, table=_votes_alone(vectors, labels, order, heads)
        )
        count = heads or min(DEFAULT_HEADS, len(vectors.layout.heads()))
        voted = fit_vote(vectors, labels, count, order)
        return Fitted(voted, voted.scores, choice, ())
    if asked == "hec":
        return _fit_hec(vectors, labels, order, heads)
    count = 0 if unlabelled is None else len(unlabelled)
    if asked == "ridge" or count < LEAST_UNLABELLED:
        unlabelled = None
    return _fit_linear(vectors, labels, order, asked, heads, unlabelled, count)


def _check_unlabelled(unlabelled: HeadVectors, layout: HeadLayout) -> None:
    import numpy as np

    check_vectors(unlabelled)
    if unlabelled.layout != layout:
        raise FitError(f"the unlabelled vectors have {unlabelled.layout.counts}; the others {layout.counts}")
    if not np.isfinite(unlabelled.values).all():
        raise FitError("unlabelled vectors with NaN or infinity cannot be learned from")


def _fit_hec(vectors: HeadVectors, labels: list[str], order: list[str], heads: int | None) -> Fitted:
    import numpy as np

    from savs.estimators.hec import fit_hec
    from savs.estimators.temperature import fit_temperature, softmax
    from savs.estimators.vote_loo import head_scores
    from savs.readout.hec import readout_of_fit

    spans = [(columns.start, columns.stop) for columns in vectors.layout.slices().values()]
    numbers = np.array([order.index(label) for label in labels])
    found = fit_hec(vectors.values, numbers, len(order), spans, heads or min(DEFAULT_HEADS, len(spans)))
    true = numbers[found.rows]
    temperature = fit_temperature(found.loo, true) if len(true) else 1.0
    table = _votes_alone(vectors, labels, order, heads)
    if len(true):
        table = (*table, _scored("hec", "leave-one-out", found.loo, true, temperature))
    choice = Choice(asked="hec", chosen="hec", why="asked for", table=table)
    readout = readout_of_fit(found, temperature, order, vectors.layout)
    scores = head_scores(vectors.values, numbers, len(order), spans)
    return Fitted(
        readout, scores, choice, _suspects(softmax(found.loo / temperature), found.rows, numbers, order)
    )


@dataclass(frozen=True)
class _Pick:
    """The readout that is taken of a fit, why, and what its confidence rests on.

    free   float64 [n, classes]: scores of the examples, each without its own target
    table  the score of each readout on the examples
    """

    chosen: str
    why: str
    linear: "LinearMap"
    temperature: float
    free: "np.ndarray"
    table: tuple[ReadoutScore, ...]


def _fit_linear(
    vectors: HeadVectors,
    labels: list[str],
    order: list[str],
    asked: Asked,
    heads: int | None,
    unlabelled: HeadVectors | None,
    offered: int,
) -> Fitted:
    import numpy as np

    from savs.estimators.linear import Problem, fit_linear
    from savs.estimators.shift import UNLIKE, difference
    from savs.estimators.temperature import softmax
    from savs.estimators.vote_loo import head_scores

    places = list(vectors.layout.slices().items())
    spans = [(columns.start, columns.stop) for _, columns in places]
    numbers = np.array([order.index(label) for label in labels])
    values = np.asarray(vectors.values, np.float32)
    others = None if unlabelled is None else np.asarray(unlabelled.values, np.float32)
    told = None if others is None else difference(values, others, spans)
    apart = told is not None and told >= UNLIKE
    problem = Problem(values, numbers, len(order), spans, others, apart)
    found = fit_linear(problem)
    ranked = np.argsort(-found.weights, kind="stable")
    if heads is not None and heads < len(spans):
        ranked = ranked[:heads]
        problem = problem.only(np.sort(ranked))
        found = fit_linear(problem)
    pick = _ridge(found, numbers, _why_ridge(asked, offered))
    if found.corpus is not None:
        pick = _corpus_or(pick, found, problem, asked, offered)
    choice = Choice(
        asked=asked,
        chosen=pick.chosen,
        why=pick.why,
        table=(*_votes_alone(vectors, labels, order, heads), *pick.table),
        unlabelled=offered if pick.chosen == "corpus" else 0,
        difference=None if told is None else round(max(told, -1.0), 4),
        apart=apart,
    )
    kept = np.sort(ranked)
    readout = _readout(
        pick.chosen, order, vectors.layout, places, kept, ranked, pick.linear, pick.temperature
    )
    scores = head_scores(values, numbers, len(order), spans)
    probabilities = softmax(pick.free / pick.temperature)
    return Fitted(readout, scores, choice, _suspects(probabilities, np.arange(len(labels)), numbers, order))


def _ridge(found: "LinearFit", numbers: "np.ndarray", why: str) -> _Pick:
    from savs.estimators.temperature import fit_temperature

    temperature = fit_temperature(found.ridge_loo, numbers)
    table = (_scored("ridge", "leave-one-out", found.ridge_loo, numbers, temperature),)
    return _Pick("ridge", why, found.ridge, temperature, found.ridge_loo, table)


def _corpus_or(ridge: _Pick, found: "LinearFit", problem: "Problem", asked: Asked, offered: int) -> _Pick:
    """Return the readout that learned from the corpus, or the ridge if there are few examples and folds
    prefer it. Its temperature is that of the folds: with leave-one-out scores it would be too certain."""
    from savs.estimators.linear import hold_out
    from savs.estimators.temperature import fit_temperature

    assert found.corpus is not None and found.corpus_loo is not None
    why = "asked for" if asked == "corpus" else f"{offered} rows of the corpus to learn from"
    held, numbers = hold_out(problem), problem.numbers
    if held.corpus is None or not len(held.rows):  # each class has one example
        temperature = fit_temperature(found.corpus_loo, numbers)
        return _Pick("corpus", why, found.corpus, temperature, found.corpus_loo, ridge.table)
    true = numbers[held.rows]
    temperature = fit_temperature(held.corpus, true)
    table = (
        *ridge.table,
        _scored("ridge", "five folds", held.ridge, true, fit_temperature(held.ridge, true)),
        _scored("corpus", "five folds", held.corpus, true, temperature),
    )
    few = len(numbers) <= FEW_EXAMPLES * problem.classes
    if asked != "corpus" and few and _folds_prefer_ridge(held, true):
        why = f"at most {FEW_EXAMPLES} examples per class, and five folds prefer it to the corpus readout"
        return replace(ridge, why=why, table=table)
    return _Pick("corpus", why, found.corpus, temperature, found.corpus_loo, table)


def _why_ridge(asked: Asked, offered: int) -> str:
    if asked == "ridge":
        return "asked for"
    if offered:
        return f"only {offered} rows of the corpus to learn from; {LEAST_UNLABELLED} are needed"
    return "no corpus to learn from"


def _readout(
    mode: str,
    order: list[str],
    layout: HeadLayout,
    places: list[tuple[tuple[int, int], slice]],
    kept: "np.ndarray",
    ranked: "np.ndarray",
    linear: "LinearMap",
    temperature: float,
) -> LinearReadout:
    """Return the readout of a map over the heads `kept`, ranked from the heaviest on."""
    import numpy as np

    own = {int(head): linear.weights[slice(*span)] for head, span in zip(kept, linear.spans, strict=True)}
    return LinearReadout(
        mode=mode,
        classes=tuple(order),
        heads=np.array([places[head][0] for head in ranked], dtype=np.int32).reshape(-1, 2),
        weights=np.concatenate([own[int(head)] for head in ranked]).astype(np.float32),
        intercept=linear.intercept.astype(np.float32),
        temperature=temperature,
        layout=layout,
    )


def _votes_alone(
    vectors: HeadVectors, labels: list[str], order: list[str], heads: int | None
) -> tuple[ReadoutScore, ...]:
    """The published vote's accuracy on the examples, leaving one out."""
    import numpy as np

    from savs.estimators.vote_loo import vote_without, winners

    numbers = np.array([order.index(label) for label in labels])
    spans = [(columns.start, columns.stop) for columns in vectors.layout.slices().values()]
    count = min(heads or DEFAULT_HEADS, len(spans))
    named = vote_without(vectors.values, numbers, len(order), spans, count)
    accuracy = float(np.mean(winners(named) == numbers))
    return (ReadoutScore(readout="vote", how="leave-one-out", rows=len(labels), accuracy=accuracy),)


def _scored(readout: str, how: str, scores: "np.ndarray", numbers: "np.ndarray", t: float) -> ReadoutScore:
    import numpy as np

    from savs.estimators.temperature import log_loss

    right = float(np.mean(scores.argmax(1) == numbers))
    loss = log_loss(scores / t, numbers)
    return ReadoutScore(readout=readout, how=how, rows=len(numbers), accuracy=right, log_loss=round(loss, 6))


def _folds_prefer_ridge(held: "HeldOut", true: "np.ndarray") -> bool:
    """Return whether the ridge is right more often by one standard error of the paired difference."""
    import numpy as np

    assert held.corpus is not None
    gain = (held.ridge.argmax(1) == true).astype(float) - (held.corpus.argmax(1) == true)
    return bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)))


def _suspects(
    probabilities: "np.ndarray", rows: "np.ndarray", numbers: "np.ndarray", order: list[str]
) -> tuple[Suspect, ...]:
    """Return the suspects among the examples `rows`, whose `probabilities` are given; `numbers` are the
    classes of all examples."""
    import numpy as np

    likely, true = probabilities.argmax(1), numbers[rows]
    wrong = np.flatnonzero(likely != true).tolist()
    wrong.sort(
        key=lambda place: (probabilities[place, true[place]] - probabilities[place, likely[place]], place)
    )
    return tuple(
        Suspect(
            row=int(rows[place]),
            label=order[int(true[place])],
            likelier=order[int(likely[place])],
            probability=round(float(probabilities[place, likely[place]]), 6),
        )
        for place in wrong[:SHOWN_SUSPECTS]
    )

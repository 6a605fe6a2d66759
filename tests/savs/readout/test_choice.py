"""Which readout is fitted, why, and which examples it doubts."""

import numpy as np
import pytest

from savs.engine.vectors import HeadVectors
from savs.errors import FitError
from savs.estimators.features import fit_scaling
from savs.estimators.linear import HeldOut, LinearMap, Problem, fit_linear, hold_out
from savs.estimators.temperature import fit_temperature, log_loss, softmax
from savs.readout import choice
from savs.readout.choice import Asked, Fitted, fit, fit_readout
from savs.readout.classify import classify
from savs.readout.fit import Readout, fit_vote
from savs.readout.linear import LinearReadout
from tests.savs.data.drawing import head_vectors

SIZES = ((3, 4), (2, 6), (1, 4))
WIDTH = 28
NAMES = np.array(["größer", "smaller", "equal", "none"])


def drawn(n: int, classes: int = 2, seed: int = 0, noise: float = 1.0, shift: float = 0.0) -> HeadVectors:
    """Rows about the centres of classes in turn; the centres are the same for every seed."""
    centres = np.random.default_rng(99).normal(size=(4, WIDTH)) + shift
    rows = noise * np.random.default_rng(seed).normal(size=(n, WIDTH))
    return head_vectors(centres[np.arange(n) % classes] + rows, *SIZES)


def labels(n: int, classes: int = 2) -> list[str]:
    return [str(name) for name in NAMES[np.arange(n) % classes]]


def chosen(
    n: int, unlabelled: int | None, asked: Asked = "auto", heads: int | None = None, classes: int = 2
) -> Fitted:
    corpus = None if unlabelled is None else drawn(unlabelled, classes, seed=5)
    return fit_readout(drawn(n, classes), labels(n, classes), asked, heads, unlabelled=corpus)


def problem_of(vectors: HeadVectors, n: int, classes: int, unlabelled: HeadVectors | None) -> Problem:
    spans = [(place.start, place.stop) for place in vectors.layout.slices().values()]
    numbers = np.arange(n) % classes
    return Problem(vectors.values, numbers, classes, spans, unlabelled.values if unlabelled else None)


@pytest.mark.parametrize(
    ("n", "unlabelled", "readout", "why"),
    [
        (5, None, "reference", "fewer than 3 examples per class"),
        (5, 300, "reference", "fewer than 3 examples per class"),
        (6, None, "ridge", "no corpus to learn from"),
        (12, 199, "ridge", "only 199 rows of the corpus to learn from; 200 are needed"),
        (12, 200, "corpus", "200 rows of the corpus to learn from"),
        (100, 200, "corpus", "200 rows of the corpus to learn from"),
    ],
)
def test_the_rule_decides_by_examples_and_rows_of_the_corpus(
    n: int, unlabelled: int | None, readout: str, why: str
) -> None:
    found = chosen(n, unlabelled)

    assert (found.choice.asked, found.choice.chosen, found.choice.why) == ("auto", readout, why)
    assert found.readout.mode == readout
    assert isinstance(found.readout, Readout if readout == "reference" else LinearReadout)
    assert found.choice.unlabelled == (200 if readout == "corpus" else 0)


@pytest.mark.parametrize(
    ("asked", "unlabelled", "readout", "why"),
    [
        ("reference", 300, "reference", "asked for"),
        ("ridge", 300, "ridge", "asked for"),
        ("corpus", 300, "corpus", "asked for"),
        ("corpus", 100, "ridge", "only 100 rows of the corpus to learn from; 200 are needed"),
        ("corpus", None, "ridge", "no corpus to learn from"),
    ],
)
def test_what_is_asked_for_is_fitted_if_it_can_be(
    asked: Asked, unlabelled: int | None, readout: str, why: str
) -> None:
    for n in (4, 30):
        found = chosen(n, unlabelled, asked)
        assert (found.choice.chosen, found.choice.why, found.readout.mode) == (readout, why, readout)


def misled(n: int, seed: int, shift: float = 0.0) -> tuple[HeadVectors, HeadVectors]:
    """Examples of two classes, and a corpus of two groups that have nothing to do with the classes."""
    rng = np.random.default_rng(seed)
    examples, corpus = rng.normal(size=(12, WIDTH)), rng.normal(size=(300, WIDTH)) + shift
    examples[:, ::4] += 2.0 * (np.arange(12) % 2)[:, None] - 1
    for rows in (examples, corpus):
        group = rng.choice([-1, 1], (len(rows), 1))
        rows[:, 1::4] += group
        rows[:, 2::4] -= group
    return head_vectors(examples[:n], *SIZES), head_vectors(corpus, *SIZES)


def test_folds_may_prefer_the_ridge_with_five_examples_per_class() -> None:
    preferred = []
    for examples, corpus in (misled(10, 0), misled(10, 1), (drawn(10), drawn(300, seed=5))):
        held = hold_out(problem_of(examples, 10, 2, corpus))
        preferred.append(choice._folds_prefer_ridge(held, np.arange(10) % 2))

        found = fit_readout(examples, labels(10), unlabelled=corpus).choice

        assert found.chosen == ("ridge" if preferred[-1] else "corpus")
        assert ("five folds prefer it" in found.why) == preferred[-1]
        assert found.unlabelled == (0 if preferred[-1] else 300)
        asked = fit_readout(examples, labels(10), "corpus", unlabelled=corpus).choice
        assert asked.chosen == "corpus"  # who asks for it gets it
    assert set(preferred) == {True, False}


def test_folds_prefer_nothing_with_more_examples() -> None:
    preferred = []
    for seed in (2, 3, 4, 5):
        examples, corpus = misled(12, seed)
        held = hold_out(problem_of(examples, 12, 2, corpus))
        preferred.append(choice._folds_prefer_ridge(held, np.arange(12) % 2))
        assert fit_readout(examples, labels(12), unlabelled=corpus).choice.chosen == "corpus"
    assert True in preferred


def held_of(ridge: list[int], corpus: list[int]) -> HeldOut:
    return HeldOut(np.arange(len(ridge)), np.eye(2)[ridge], np.eye(2)[corpus])


@pytest.mark.parametrize(
    ("ridge", "corpus", "prefers"),  # class 0 is right
    [
        ([0] * 10, [0] * 10, False),
        ([0] * 10, [0] * 5 + [1] * 5, True),
        ([0] * 5 + [1] * 5, [0] * 10, False),
        ([0] * 5 + [1] * 5, [1] * 4 + [0] * 6, False),  # 4 better and 5 worse
        ([0] * 5 + [1] * 5, [1] * 5 + [0] * 4 + [1], False),  # 5 better and 4 worse
        ([0] * 5 + [1] * 5, [1] * 5 + [0] + [1] * 4, True),  # 5 better and 1 worse
    ],
)
def test_folds_prefer_the_ridge_by_more_than_one_standard_error(
    ridge: list[int], corpus: list[int], prefers: bool
) -> None:
    assert choice._folds_prefer_ridge(held_of(ridge, corpus), np.zeros(10, int)) == prefers


def test_the_table_has_the_scores_of_rows_that_the_fits_have_not_seen() -> None:
    vectors, corpus, numbers = drawn(24, 3, noise=2), drawn(200, 3, seed=5, noise=2), np.arange(24) % 3

    found = fit_readout(vectors, labels(24, 3), unlabelled=corpus)

    problem = problem_of(vectors, 24, 3, corpus)
    fitted, held = fit_linear(problem), hold_out(problem)
    assert held.corpus is not None
    want = [
        ("ridge", "leave-one-out", fitted.ridge_loo),
        ("ridge", "five folds", held.ridge),
        ("corpus", "five folds", held.corpus),
    ]
    vote, *others = found.choice.table
    assert (vote.readout, vote.how, vote.rows, vote.log_loss) == ("vote", "leave-one-out", 24, None)
    right = 0
    for row in range(24):
        rest = np.arange(24) != row
        readout = fit_vote(
            vectors[rest], [str(NAMES[c]) for c in numbers[rest]], 6, [str(n) for n in NAMES[:3]]
        )
        right += classify(readout, vectors[row : row + 1])[0].prediction == NAMES[numbers[row]]
    assert vote.accuracy == right / 24
    for entry, (readout, how, scores) in zip(others, want, strict=True):
        t = fit_temperature(scores, numbers)
        assert (entry.readout, entry.how, entry.rows) == (readout, how, 24)
        assert entry.accuracy == np.mean(scores.argmax(1) == numbers)
        assert entry.log_loss == pytest.approx(log_loss(scores / t, numbers), abs=1e-5)


@pytest.mark.parametrize("asked", ["ridge", "corpus"])
@pytest.mark.parametrize("heads", [None, 2])
def test_the_readout_scores_as_its_linear_map(asked: Asked, heads: int | None) -> None:
    vectors, corpus, new = drawn(12), drawn(200, seed=5), drawn(30, seed=6)

    found = fit_readout(vectors, labels(12), asked, heads, unlabelled=corpus).readout

    problem = problem_of(vectors, 12, 2, corpus if asked == "corpus" else None)
    whole = fit_linear(problem)
    if heads is not None:
        kept = np.sort(np.argsort(-whole.weights, kind="stable")[:heads])
        problem = problem.only(kept)
        whole = fit_linear(problem)
        columns = np.concatenate([np.arange(*place) for place in np.array(_spans(new))[kept]])
        values = new.values[:, columns]
    else:
        values = new.values
    linear: LinearMap | None = whole.ridge if asked == "ridge" else whole.corpus
    assert isinstance(found, LinearReadout) and linear is not None
    want = softmax(linear.scores(values) / found.temperature)
    assert np.allclose(found.scores(new), want, atol=1e-3)


def _spans(vectors: HeadVectors) -> list[tuple[int, int]]:
    return [(place.start, place.stop) for place in vectors.layout.slices().values()]


@pytest.mark.parametrize("heads", [1, 3, 6])
def test_it_uses_no_more_heads_than_allowed_the_heaviest_first(heads: int) -> None:
    vectors = drawn(30)
    vectors.values[:, 8:12] = np.random.default_rng(1).normal(size=(30, 4))  # (0, 2) knows nothing
    targets = np.eye(2)[np.arange(30) % 2]
    _, _, weights = fit_scaling(vectors.values, targets, _spans(vectors))

    found = fit_readout(vectors, labels(30), "ridge", heads).readout

    order = [vectors.layout.heads()[i] for i in np.argsort(-weights, kind="stable")]
    assert [tuple(head) for head in found.heads.tolist()] == order[:heads]
    new = drawn(200, seed=6)
    right = np.mean([a.prediction == want for a, want in zip(classify(found, new), labels(200), strict=True)])
    assert right > 0.75
    # values of other heads do not matter
    other = new.values.copy()
    places = new.layout.slices()
    for head in order[heads:]:
        other[:, places[head]] = 1
    assert classify(found, HeadVectors(new.layout, other)) == classify(found, new)


@pytest.mark.parametrize("unlabelled", [None, 300])
@pytest.mark.parametrize("row", [0, 7, 19])
def test_an_example_with_a_wrong_label_is_the_first_suspect(unlabelled: int | None, row: int) -> None:
    vectors, said = drawn(20, noise=0.7), labels(20)
    true, said[row] = said[row], labels(20)[row + 1 if row < 19 else row - 1]
    corpus = None if unlabelled is None else drawn(unlabelled, seed=5, noise=0.7)

    found = fit_readout(vectors, said, classes=[str(n) for n in NAMES[:2]], unlabelled=corpus)

    first = found.suspects[0]
    assert (first.row, first.label, first.likelier) == (row, said[row], true)
    assert 0.5 < first.probability <= 1


def test_nothing_is_suspected_of_examples_that_agree_or_of_a_vote() -> None:
    assert fit_readout(drawn(20, noise=0.3), labels(20)).suspects == ()
    assert fit_readout(drawn(20), labels(20)[::-1], "reference").suspects == ()


def test_suspects_are_the_most_certain_twenty() -> None:
    rng = np.random.default_rng(0)

    found = fit_readout(drawn(80), [str(name) for name in rng.permutation(labels(80))]).suspects

    assert len(found) == 20
    assert [s.probability for s in found] == sorted((s.probability for s in found), reverse=True)
    assert all(s.label != s.likelier for s in found)


def test_a_corpus_unlike_the_examples_is_told_and_standardised_apart() -> None:
    near = fit_readout(drawn(20), labels(20), "corpus", unlabelled=drawn(300, seed=5)).choice
    far = fit_readout(drawn(20), labels(20), "corpus", unlabelled=drawn(300, seed=5, shift=4)).choice

    assert near.difference is not None and far.difference is not None
    assert near.difference < 0.2 and not near.apart
    assert far.difference > 0.8 and far.apart


def test_a_ridge_that_folds_preferred_says_that_it_is_standardised_apart() -> None:
    found = []
    for seed in range(12):
        examples, corpus = misled(10, seed, shift=4)
        found.append(fit_readout(examples, labels(10), unlabelled=corpus).choice)

    assert {(each.chosen, each.apart) for each in found} == {("ridge", True), ("corpus", True)}


def test_the_scores_of_all_heads_are_those_of_the_vote() -> None:
    vectors = drawn(30, 3)
    for asked in ("reference", "ridge"):
        found = fit_readout(vectors, labels(30, 3), asked, 2)
        assert np.array_equal(found.scores, fit_vote(vectors, labels(30, 3), 2).scores)
        assert len(found.readout.heads) == 2


def test_classes_keep_the_order_that_was_asked_for() -> None:
    order = ["smaller", "größer"]

    one, other = fit(drawn(12), labels(12), mode="ridge"), fit(drawn(12), labels(12), None, "ridge", order)

    assert (one.classes, other.classes) == (("größer", "smaller"), ("smaller", "größer"))
    assert isinstance(one, LinearReadout) and isinstance(other, LinearReadout)
    new = drawn(30, seed=6)
    assert np.allclose(one.scores(new), other.scores(new)[:, ::-1], atol=1e-5)


@pytest.mark.parametrize("asked", ["auto", "reference", "ridge", "corpus"])
@pytest.mark.parametrize("heads", [0, -1, 7, True, False, 2.0])
def test_a_number_of_heads_that_the_model_cannot_give_is_refused(asked: Asked, heads: int) -> None:
    with pytest.raises(FitError, match="heads"):
        fit_readout(drawn(12), labels(12), asked, heads)


def test_unlabelled_vectors_that_cannot_be_used_are_refused() -> None:
    broken = drawn(200, seed=5)
    broken.values[17, 3] = np.nan
    for unlabelled, reason in (
        (broken, "unlabelled vectors with NaN or infinity"),
        (head_vectors(np.zeros((200, 6)), (3, 2)), "the unlabelled vectors have 1 layers × 3 heads"),
        (broken.values, "vectors are of type ndarray"),
    ):
        with pytest.raises(FitError, match=reason):
            fit_readout(drawn(12), labels(12), "corpus", unlabelled=unlabelled)

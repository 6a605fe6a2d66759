"""From probabilities to predictions: `--abstain-below`, `--target-precision` and `--prior`."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from jobs.ledger.ledger import Ledger
from jobs.ledger.results import result_rows
from tests.jobs.conftest import CLASSES, Corpus, read_jsonl, savs_submit, write_jsonl

Summaries = list[dict[str, Any]]
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Questions without media: even a random model tells their words apart, and is not always certain."""
    folder = tmp_path_factory.mktemp("words")

    def row(n: int, label: str, words: str) -> dict[str, str]:
        return {"question": f"{words} {n * 37 % 101}", "question_id": f"row-{n}", "label": label}

    train = [row(n, CLASSES[n % 3], CLASSES[(n + (n % 8 == 7)) % 3]) for n in range(30)]
    data = [row(n, CLASSES[n % 3], f"{CLASSES[n % 3]} {CLASSES[n // 3 % 3]}"[: 8 + n]) for n in range(60)]
    return Corpus(
        folder, write_jsonl(folder / "train.jsonl", train), write_jsonl(folder / "data.jsonl", data), ()
    )


@pytest.fixture(scope="module")
def voted(corpus: Corpus, qwen2_vl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with an artifact of a vote. To be read only."""
    workspace = tmp_path_factory.mktemp("voted") / "results"
    result = savs_submit(
        *("extract", "--train", corpus.train, "--name", "shapes", "--model", qwen2_vl),
        *("--workspace", workspace, "--readout", "reference", "--heads", 5),
    )
    assert result.exit_code == 0, result.output
    return workspace


@pytest.fixture(scope="module")
def ridge(corpus: Corpus, qwen2_vl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with an artifact of a ridge, and the corpus labelled with it. To be read only."""
    workspace = tmp_path_factory.mktemp("ridge") / "results"
    result = savs_submit(
        *("run", "--train", corpus.train, "--data", corpus.data, "--name", "shapes", "--model", qwen2_vl),
        *("--workspace", workspace, "--readout", "ridge"),
    )
    assert result.exit_code == 0, result.output
    return workspace


def classified(corpus: Corpus, ridge: Path, workspace: Path, *more: object) -> tuple[Summaries, Rows]:
    """The summaries and rows of the corpus, labelled with the ridge's artifact and these options."""
    [artifact] = (ridge / "artifacts" / "shapes").iterdir()
    result = savs_submit(
        *("classify", "--data", corpus.data, "--artifact", artifact, "--name", "decided"),
        *("--workspace", workspace, "--json", *more),
    )
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), rows_of(workspace)


def rows_of(workspace: Path) -> Rows:
    ledger = Ledger(str(workspace))
    [job] = [job for job in ledger.jobs() if job.spec.kind == "classify"]
    return [json.loads(row) for row in result_rows(ledger, job.job_id)]


def test_rows_that_are_less_certain_have_no_prediction_and_keep_their_scores(
    corpus: Corpus, ridge: Path, workspace: Path
) -> None:
    whole = rows_of(ridge)
    confidences = sorted(row["confidence"] for row in whole)
    least = (confidences[19] + confidences[20]) / 2

    [summary], rows = classified(corpus, ridge, workspace, "--abstain-below", least)

    kept = [row["prediction"] is not None for row in rows]
    assert kept == [row["confidence"] >= least for row in whole] and 0 < sum(kept) < len(rows)
    assert (summary["labelled"], summary["abstained"]) == (sum(kept), len(rows) - sum(kept))
    for row, before in zip(rows, whole, strict=True):
        without = {k: v for k, v in row.items() if k not in ("prediction", "task")}
        assert without == {k: v for k, v in before.items() if k not in ("prediction", "task")}


def test_discriminants_have_priors_and_thresholds_too(
    corpus: Corpus, ridge: Path, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    prior = dict(zip(CLASSES, (0.8, 0.15, 0.05), strict=True))
    (tmp_path / "prior.json").write_text(json.dumps(prior))

    def run(place: Path, *more: object) -> Rows:
        result = savs_submit(
            *("run", "--train", corpus.train, "--data", corpus.data, "--name", "shapes"),
            *("--model", qwen2_vl, "--workspace", place, "--readout", "hec", *more),
        )
        assert result.exit_code == 0, result.output
        return rows_of(place)

    plain, shifted = run(workspace), run(tmp_path / "other", "--prior", tmp_path / "prior.json")

    assert {row["prediction"] for row in plain} == set(CLASSES)
    for row, before in zip(shifted, plain, strict=True):
        assert row["scores"] == pytest.approx(reweighted(before["scores"], prior), abs=2e-5)
    [artifact] = (workspace / "artifacts" / "shapes").iterdir()
    result = savs_submit(
        *("classify", "--data", corpus.data, "--artifact", artifact, "--name", "sure"),
        *("--workspace", tmp_path / "third", "--json", "--abstain-below", 0.5),
    )
    assert result.exit_code == 0, result.output
    kept = [row["prediction"] is not None for row in rows_of(tmp_path / "third")]
    assert kept == [row["confidence"] >= 0.5 for row in plain] and any(kept)


def test_a_vote_may_abstain_too(corpus: Corpus, voted: Path, workspace: Path) -> None:
    _, rows = classified(corpus, voted, workspace, "--abstain-below", 0.7)

    assert all((row["prediction"] is None) == (row["confidence"] < 0.7) for row in rows)
    assert any(row["prediction"] is None for row in rows)


def test_a_threshold_for_a_precision_comes_from_the_pilot(
    corpus: Corpus, ridge: Path, workspace: Path
) -> None:
    # given the mean confidence of all rows and a higher one, which only some rows can reach together
    confidences = sorted((row["confidence"] for row in rows_of(ridge)), reverse=True)
    wanted = round((confidences[0] + sum(confidences) / len(confidences)) / 2, 5)

    summaries, rows = classified(corpus, ridge, workspace, "--adapt", "--target-precision", wanted)

    # then the rows that are labelled are the most certain ones, and have this confidence on average
    pilot, summary = summaries
    threshold = pilot["rule"]["threshold"]
    kept = [row["confidence"] for row in rows if row["prediction"] is not None]
    assert 0 < len(kept) < len(rows) and sum(kept) / len(kept) >= wanted - 1e-6
    assert all((row["prediction"] is not None) == (row["confidence"] >= threshold - 1e-6) for row in rows)
    assert pilot["rule"]["kept"] == len(kept) / len(rows)
    assert summary["labelled"] == len(kept)


def test_without_a_row_that_is_certain_enough_all_abstain_and_the_warning_says_so(
    corpus: Corpus, ridge: Path, workspace: Path
) -> None:
    summaries, rows = classified(corpus, ridge, workspace, "--adapt", "--target-precision", 0.999999)

    assert [row["prediction"] for row in rows] == [None] * len(rows)
    assert summaries[1]["abstained"] == len(rows)
    for summary in summaries:
        assert any("no part of the corpus is that certain" in warning for warning in summary["warnings"])


def reweighted(scores: dict[str, float], factors: dict[str, float]) -> dict[str, float]:
    found = {name: share * factors[name] for name, share in scores.items()}
    return {name: value / sum(found.values()) for name, value in found.items()}


@pytest.mark.parametrize("adapt", [(), ("--adapt",)], ids=["classify", "adapted"])
def test_the_prior_of_a_file_multiplies_the_probabilities(
    corpus: Corpus, ridge: Path, workspace: Path, tmp_path: Path, adapt: tuple[str, ...]
) -> None:
    prior = dict(zip(CLASSES, (0.8, 0.15, 0.05), strict=True))
    (tmp_path / "prior.json").write_text(json.dumps(prior))

    _, rows = classified(corpus, ridge, workspace, "--prior", tmp_path / "prior.json", *adapt)

    for row, before in zip(rows, rows_of(ridge), strict=True):
        wanted = reweighted(before["scores"], prior)
        assert row["scores"] == pytest.approx(wanted, abs=2e-3 if adapt else 2e-5)
        assert row["prediction"] == max(row["scores"], key=row["scores"].__getitem__)


def test_a_uniform_prior_undoes_that_of_the_examples(
    corpus: Corpus, qwen2_vl: Path, workspace: Path, tmp_path: Path
) -> None:
    # given examples of which half are circles
    rows = read_jsonl(corpus.train)
    some = [*rows[::3], *rows[1::3][:5], *rows[2::3][:5]]
    train = write_jsonl(tmp_path / "train.jsonl", some)
    counts = dict(zip(CLASSES, (10, 5, 5), strict=True))
    assert Counter(row["label"] for row in some) == counts

    def run(place: Path, *more: str) -> Rows:
        result = savs_submit(
            *("run", "--train", train, "--data", corpus.data, "--name", "shapes"),
            *("--model", qwen2_vl, "--workspace", place, *more),
        )
        assert result.exit_code == 0, result.output
        return rows_of(place)

    even, before = run(workspace, "--prior", "uniform"), run(tmp_path / "other")

    for row, other in zip(even, before, strict=True):
        factors = {name: 1 / count for name, count in counts.items()}
        assert row["scores"] == pytest.approx(reweighted(other["scores"], factors), abs=2e-5)


def test_an_estimated_prior_is_that_of_the_pilots_rows(corpus: Corpus, ridge: Path, workspace: Path) -> None:
    [pilot, _], rows = classified(corpus, ridge, workspace, "--adapt", "--prior", "estimated")

    shares = [math.exp(ratio) / len(CLASSES) for ratio in pilot["rule"]["log_ratio"]]
    assert sum(shares) == pytest.approx(1)
    factors = dict(zip(CLASSES, shares, strict=True))
    for row, before in zip(rows, rows_of(ridge), strict=True):
        assert row["scores"] == pytest.approx(reweighted(before["scores"], factors), abs=2e-3)


WRONG_PRIORS = {
    "other classes": (b'{"circle": 0.5, "cube": 0.5}', "needs a share for each class"),
    "a class too few": (b'{"circle": 0.5, "square": 0.5}', "'star'"),
    "not JSON": (b"circle: 1", "nor a file of JSON"),
    "not UTF-8": (b"\xff\xfe{", "nor a file of JSON"),
    "a negative share": (b'{"circle": -1, "square": 1, "star": 1}', "prior"),
    "a share of zero": (b'{"circle": 0, "square": 1, "star": 1}', "prior"),
    "not a number": (b'{"circle": NaN, "square": 1, "star": 1}', "prior"),
    "a list": (b"[1, 1, 1]", "prior"),
    "deep": (b"[" * 100_000, "prior"),
}


@pytest.mark.parametrize("command", ["run", "classify"])
@pytest.mark.parametrize("wrong", WRONG_PRIORS)
def test_a_prior_that_is_none_is_refused_before_anything_is_written(
    corpus: Corpus, qwen2_vl: Path, ridge: Path, workspace: Path, tmp_path: Path, wrong: str, command: str
) -> None:
    data, said = WRONG_PRIORS[wrong]
    (tmp_path / "prior.json").write_bytes(data)

    assert said in refused(corpus, qwen2_vl, ridge, workspace, command, "--prior", tmp_path / "prior.json")


def refused(
    corpus: Corpus, model: Path, artifacts: Path, workspace: Path, command: str, *more: object
) -> str:
    """What a command says that is wrong usage, loads no model and writes nothing."""
    [artifact] = (artifacts / "artifacts" / "shapes").iterdir()
    which = ("--train", corpus.train, "--model", model) if command == "run" else ("--artifact", artifact)
    result = savs_submit(
        *(command, "--data", corpus.data, "--name", "decided", "--workspace", workspace, *which, *more)
    )
    assert result.exit_code == 2, result.output
    assert "loading" not in result.output and not workspace.exists()
    return result.stderr


@pytest.mark.parametrize(
    ("command", "more", "said"),
    [
        ("classify", ("--target-precision", 0.9), "add --adapt"),
        ("classify", ("--prior", "estimated"), "add --adapt"),
        ("classify", ("--adapt", "--abstain-below", 0.5, "--target-precision", 0.9), "exclude each other"),
        ("classify", ("--prior", "/nowhere.json"), "--prior: /nowhere.json is neither"),
        ("run", ("--readout", "ridge", "--target-precision", 0.9), "need --readout auto, not ridge"),
        ("run", ("--readout", "reference", "--prior", "estimated"), "need --readout auto, not reference"),
        ("run", ("--readout", "reference", "--prior", "uniform"), "need probabilities"),
    ],
)
def test_combinations_that_cannot_be_are_refused_before_anything_is_written(
    corpus: Corpus,
    qwen2_vl: Path,
    ridge: Path,
    workspace: Path,
    command: str,
    more: tuple[object, ...],
    said: str,
) -> None:
    assert said in refused(corpus, qwen2_vl, ridge, workspace, command, *more)


def test_a_vote_has_no_prior(corpus: Corpus, qwen2_vl: Path, voted: Path, workspace: Path) -> None:
    said = refused(corpus, qwen2_vl, voted, workspace, "classify", "--prior", "uniform")

    assert "this artifact's readout is a vote" in said


def test_zero_shot_has_no_decisions(corpus: Corpus, qwen2_vl: Path, workspace: Path) -> None:
    result = savs_submit(
        *("classify", "--data", corpus.data, "--zero-shot", "--model", qwen2_vl, "--name", "asked"),
        *("--workspace", workspace, "--abstain-below", 0.5),
    )

    assert result.exit_code == 2 and "are not for --zero-shot" in result.stderr
    assert not workspace.exists()

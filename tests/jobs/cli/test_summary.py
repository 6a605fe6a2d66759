"""What a finished job prints: every class, with what was right and wrong about it."""

from typing import Any

import pytest

from jobs.cli.output.summary import CLASSES_SHOWN, print_summary
from tests.jobs.conftest import Finished, savs_submit


def summary(predicted: dict[str, int], per_class: dict[str, dict[str, Any]]) -> dict[str, Any]:
    rows = sum(predicted.values())
    return {
        **{"job_id": "pets-classify-1a2b3c4d", "name": "pets", "kind": "classify", "status": "done"},
        **{"rows": rows, "labelled": rows, "abstained": 0, "failed": 0},
        **{"classes": predicted, "per_class": per_class, "errors": {}},
        "timings": {"items_per_second": {}},
    }


def printed(found: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    print_summary(found, "/w/jobs/pets-classify-1a2b3c4d")
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_the_table_of_classes_has_labels_that_were_never_predicted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cat = {"rows": 3, "recall": 1.0, "precision": 0.6, "f1": 0.75, "average_precision": None}
    dog = {"rows": 2, "recall": 0.0, "precision": None, "f1": 0.0, "average_precision": None}

    lines = printed(summary({"cat": 5}, {"cat": cat, "dog": dog}), capsys)

    assert ["class", "labels", "predicted", "recall", "precision", "F1", "AP"] in lines
    assert ["cat", "3", "5", "1.000", "0.600", "0.750"] in lines
    assert ["dog", "2", "0", "0.000", "0.000"] in lines


def test_of_many_classes_the_worst_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    many = {f"class{n:02d}": {"rows": 1, "recall": n / 100} for n in range(CLASSES_SHOWN + 5)}

    lines = printed(summary(dict.fromkeys(many, 1), many), capsys)

    shown = [line[0] for line in lines if line and line[0].startswith("class") and line[0] != "class"]
    assert shown == [f"class{n:02d}" for n in range(CLASSES_SHOWN)]
    assert ["…", "and", "5", "more"] in lines


def test_one_row_is_one_row_and_nothing_is_said_of_abstaining(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(summary({"cat": 1}, {}), capsys)

    assert ["1", "row:", "1", "labelled,", "0", "failed"] in lines


def test_a_fit_says_its_readout_and_how_many_labels_are_doubtful(capsys: pytest.CaptureFixture[str]) -> None:
    why = {"chosen": "corpus", "why": "300 rows of the corpus to learn from"}
    fitted = summary({}, {}) | {"kind": "pilot", "artifact": "/w/artifacts/pets/1", "readout": why}

    print_summary(fitted | {"suspects": 0}, "/w/jobs/pets-pilot-1a2b3c4d")
    print_summary(fitted | {"suspects": 2}, "/w/jobs/pets-pilot-1a2b3c4d")

    said = capsys.readouterr().out
    assert said.count("readout: corpus (300 rows of the corpus to learn from)") == 2
    assert said.count("2 examples may have a wrong label") == 1 == said.count("show /w/artifacts/pets/1")


def test_scores_of_confidence_are_one_line_and_shares_of_classes_a_column(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cat = {"rows": 6, "rate": 0.75, "interval": (0.6, 0.9)}
    found = summary({"cat": 5, "dog": 1}, {}) | {
        **{"abstained": 2, "rows": 8, "ece": 0.0317, "reliability": [{"rows": 3}, {"rows": 1}]},
        "class_shares": {"cat": cat, "owl": cat | {"rate": 0.01, "interval": (0.0, 0.02)}},
    }

    lines = [" ".join(line) for line in printed(found, capsys)]

    assert "8 rows: 6 labelled, 2 abstained, 0 failed" in lines
    assert "calibration error of the confidence (ECE) 0.032, on 4 rows" in lines
    assert "class predicted share (95 %)" in lines
    assert {"cat 5 0.750 (0.600 to 0.900)", "dog 1", "owl 0 0.010 (0.000 to 0.020)"} <= set(lines)


@pytest.mark.parametrize("verbose", [False, True])
def test_the_rates_of_stages_are_for_who_asks(calm: Finished, verbose: bool) -> None:
    more = ["--verbose"] if verbose else []

    said = savs_submit("resume", "shapes", "--workspace", calm.workspace, *more)

    assert said.exit_code == 0 and said.stdout.count("items/s per worker") == 2
    assert said.stdout.count("items/s per stage: read ") == (2 if verbose else 0)


def test_an_id_is_one_colour_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")

    print_summary(summary({"cat": 1}, {}), "/w/jobs/pets-classify-1a2b3c4d")

    first, *_, last, _ = capsys.readouterr().out.splitlines()
    assert first == "\x1b[1mpets-classify-1a2b3c4d\x1b[0m: \x1b[32mdone\x1b[0m"
    assert last == "  labels: savs-submit results pets --workspace /w"

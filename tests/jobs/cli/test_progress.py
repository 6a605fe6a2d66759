"""How a pool's progress is shown: bars on a terminal, lines elsewhere, JSON for machines."""

import json
from typing import Any

import pytest

from jobs.cli.output import progress
from jobs.cli.output.progress import PoolLines, pool_progress

STATE: dict[str, Any] = {
    "job_id": "pets-classify-1a2b3c4d",
    "name": "pets",
    "kind": "classify",
    "planned": True,
    "waiting": False,
    "shards": 40,
    "shards_done": 10,
    "rows": 10_000,
    "rows_done": 2_500,
    "failed": 3,
    "accuracy": 0.9,
    "items_per_second": 12.34,
    "eta_seconds": 7384.2,
    "workers": 2,
}
SHOWN = "10/40 shards, 12.3 items/s, 2:03:04 left, 3 failed, accuracy 0.900, 2 workers"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What progress takes for the time, to be moved by the test."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_terminal_has_a_bar_with_all_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")

    with pool_progress(as_json=False) as shown:
        shown.show([STATE])
        shown.tell("[told]")

    said = capsys.readouterr().err
    assert "━" in said and "2500/10000" in said and SHOWN in said
    assert "[told]" in said


def test_a_file_has_a_line_when_something_changes_and_else_every_half_minute(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = pool_progress(as_json=False)

    def said(**changes: Any) -> list[str]:
        shown.show([STATE | changes])
        return capsys.readouterr().err.splitlines()

    assert said() == [f"classify pets: 2500/10000 items, {SHOWN}"]
    clock[0] += 29
    assert said(rows_done=2750, shards_done=11) == []
    clock[0] += 1
    assert len(said(rows_done=2750, shards_done=11)) == 1
    assert len(said(workers=1)) == 1
    assert len(said(workers=1, shards_done=40)) == 1


def test_rows_that_abstained_are_shown_once_there_are_any(capsys: pytest.CaptureFixture[str]) -> None:
    PoolLines(as_json=False).show([STATE | {"abstained": 7}])

    assert "2:03:04 left, 7 abstained, 3 failed, accuracy 0.900" in capsys.readouterr().err


def test_a_job_that_has_not_begun_says_what_it_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = {"shards_done": 0, "rows_done": 0, "failed": 0, "accuracy": None}
    unknown = {"items_per_second": None, "eta_seconds": None}
    shown = PoolLines(as_json=False)

    shown.show([STATE | nothing | unknown | {"waiting": True}])
    shown.show([STATE | nothing | unknown | {"planned": False, "rows": 0}])

    assert capsys.readouterr().err.splitlines() == [
        "classify pets: 0/10000 items, 0/40 shards, waits for the job before it, 2 workers",
        "classify pets: 0/0 items, being planned, 2 workers",
    ]


def test_machines_have_json_on_standard_error_and_standard_output_for_the_summaries(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pool_progress(as_json=True) as shown:
        shown.show([STATE, STATE])
        shown.tell("no cpu worker is running")

    said = capsys.readouterr()
    assert [json.loads(line) for line in said.err.splitlines()] == [
        {"jobs": [STATE, STATE]},
        {"told": "no cpu worker is running"},
    ]
    assert said.out == ""

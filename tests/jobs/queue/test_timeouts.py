"""A pool's times are settings, and those that do not fit each other are refused."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs.cli import main
from jobs.ledger.ledger import Ledger
from jobs.queue.timeouts import Timeouts, read_timeouts
from savs.errors import SettingsError
from tests.jobs.ledgers import extract_job, plan_of

GIVEN = {
    "touch_every": "1.5",
    "no_life_limit": "15",
    "sweep_every": "4",
    "attempts": "7",
    "shard_time_limit": "900",
    "grace_time": "25",
}
MEANT = Timeouts(touch=1.5, no_life=15.0, sweep=4.0, attempts=7, shard_limit=900.0, grace=25.0)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_settings_a_pool_is_as_patient_as_documented() -> None:
    assert read_timeouts() == Timeouts(
        touch=10.0, no_life=120.0, sweep=30.0, attempts=3, shard_limit=3600.0, grace=100.0
    )


def test_every_time_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GIVEN.items():
        monkeypatch.setenv(f"SAVS_{name.upper()}", value)

    assert read_timeouts() == MEANT


def test_every_time_may_come_from_savs_toml_and_the_environment_goes_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "savs.toml").write_text("".join(f"{name} = {value}\n" for name, value in GIVEN.items()))
    assert read_timeouts() == MEANT

    monkeypatch.setenv("SAVS_GRACE_TIME", "50")
    monkeypatch.setenv("SAVS_SWEEP_EVERY", "")  # as where a variable is declared and not set

    assert (read_timeouts().grace, read_timeouts().sweep) == (50.0, 4.0)
    assert read_timeouts(grace=60.0).grace == 60.0


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("value", ["0", "-1", "soon", "inf", "nan"])
def test_what_is_no_time_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"SAVS_{name.upper()}", value)

    with pytest.raises(SettingsError, match=rf"^SAVS_{name.upper()} \(or {name} in savs.toml\): Input"):
        read_timeouts()


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        (
            {"TOUCH_EVERY": "10", "NO_LIFE_LIMIT": "30"},
            r"SAVS_NO_LIFE_LIMIT \(30 s\) must be more than three times",
        ),
        ({"SHARD_TIME_LIMIT": "10"}, r"SAVS_SHARD_TIME_LIMIT \(10 s\) must be more than SAVS_TOUCH_EVERY"),
    ],
)
def test_times_that_do_not_fit_are_refused(
    monkeypatch: pytest.MonkeyPatch, times: dict[str, str], sentence: str
) -> None:
    for name, value in times.items():
        monkeypatch.setenv(f"SAVS_{name}", value)

    with pytest.raises(SettingsError, match=sentence):
        read_timeouts()


@pytest.mark.parametrize("command", [["watch", "pets"], ["resume", "pets", "--wait"]])
def test_a_command_that_sweeps_says_what_is_wrong_before_it_begins(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    ledger = Ledger(str(folder / "work"))
    ledger.create_job(extract_job(), plan_of(2))
    monkeypatch.setenv("SAVS_NO_LIFE_LIMIT", "1")

    said = CliRunner().invoke(
        main, [*command, "--workspace", ledger.workspace, "--broker", "redis://localhost:1"]
    )

    assert said.exit_code == 2
    assert said.stderr.startswith("savs-submit: SAVS_NO_LIFE_LIMIT (1 s) must be more than three times")
    assert ledger.active() == []

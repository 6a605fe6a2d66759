"""What is shown of a workspace where something is unreadable, and what a shell completes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from jobs.reduce.reducer import fail_job
from jobs.shards.shard import give_up
from tests.jobs.conftest import Finished, savs_submit
from tests.jobs.ledgers import classify_job, extract_job, plan_of, row, summary_of, write_outcome


def three_jobs(workspace: Path) -> Ledger:
    ledger = Ledger(str(workspace))
    for minute, name in enumerate(("cats", "dogs", "owls")):
        job = ledger.create_job(classify_job(name, minute), plan_of(2))
        write_outcome(ledger, job, 0, [row(0, "a"), row(1, "b")])
    return ledger


@pytest.mark.parametrize("file", ["job.json", "shards.json", "summary.json", "commits/0000000.json"])
def test_list_shows_the_other_jobs_beside_a_spoilt_one_and_names_it(workspace: Path, file: str) -> None:
    three_jobs(workspace)
    [folder] = workspace.glob("jobs/dogs-*")
    (folder / file).write_text("{")

    said = savs_submit("list", "--workspace", workspace)
    states = json.loads(savs_submit("list", "--workspace", workspace, "--json").stdout)

    assert said.exit_code == 1
    assert "cats-classify-" in said.stdout and "owls-classify-" in said.stdout
    assert f"jobs/{folder.name}/{file}" in said.stderr
    assert [state["name"] for state in states] == ["cats", "owls"]


def test_status_of_a_spoilt_job_is_an_error_and_that_of_another_is_not(workspace: Path) -> None:
    three_jobs(workspace)
    [folder] = workspace.glob("jobs/dogs-*")
    (folder / "job.json").write_text("{")

    assert savs_submit("status", "dogs", "--workspace", workspace).exit_code == 1
    assert savs_submit("status", "cats", "--workspace", workspace).exit_code == 0


def test_list_cuts_no_name_short_however_long_it_is_and_wraps_only_notes(workspace: Path) -> None:
    ledger = Ledger(str(workspace))
    note = "labelled once more, with :smile: and the new pictures of " + 12 * "all of the farms, "
    job = classify_job("n" * 64).model_copy(update={"note": note})
    ledger.create_job(job, plan_of(2))

    said = savs_submit("list", "--workspace", workspace).stdout

    line, why = [line for line in said.splitlines() if job.job_id in line]
    assert "no process runs it, and it was not handed to a pool" in why and f"resume {64 * 'n'}" in said
    assert "interrupted" in line and "0/1" in line and "2030-01-07T08:00:00+00:00" in line
    assert ":smile:" in said and "…" not in said


def test_logs_say_why_a_job_failed_and_was_stopped_and_which_shards_were_given_up(workspace: Path) -> None:
    # given a job that could not be planned, one that was stopped, and one with all that can go wrong
    ledger = three_jobs(workspace)
    cats, dogs, _ = ledger.jobs()
    fail_job(ledger, cats, "Changed: its data is not [what] it was")
    ledger.cancel(dogs.job_id, "800 of its first 1000 rows failed")
    plan = plan_of(2, 2, 2)
    lost = ledger.create_job(classify_job("lost"), plan)
    write_outcome(ledger, lost, 0, [row(0, "cat"), row(1, None, error="missing_media")])
    give_up(ledger, lost, plan.shard(1), "it killed three workers")

    def logs(name: str, *more: str) -> str:
        return savs_submit("logs", name, "--workspace", workspace, *more).stdout

    found = json.loads(logs("lost", "--json"))[lost.job_id]
    assert "Changed: its data is not [what] it was" in logs("cats")
    assert "800 of its first 1000 rows failed" in logs("dogs")
    assert "no errors" in logs("owls") and "no errors" not in logs("lost")
    assert "given up: shard 1, rows 2 to 3: it killed three workers" in logs("lost")
    assert "missing_media: 1 row" in logs("lost")
    assert found["reason"] is None and found["errors"]["missing_media"]["rows"] == 1
    assert found["given_up"] == [
        {"shard": 1, "first_index": 2, "rows": 2, "retry": False, "reason": "it killed three workers"}
    ]


def test_cancel_says_in_json_which_jobs_it_stopped(workspace: Path) -> None:
    ledger = three_jobs(workspace)
    [job] = ledger.jobs("cats")

    first = json.loads(savs_submit("cancel", "cats", "--workspace", workspace, "--json").stdout)
    ledger.write_summary(job.job_id, summary_of(job))
    second = json.loads(savs_submit("cancel", "cats", "--workspace", workspace, "--json").stdout)

    assert first == [{"job_id": job.job_id, "cancelled": True}]
    assert second == [{"job_id": job.job_id, "cancelled": False}]


def test_a_run_in_this_process_is_none_that_a_pool_is_to_see_to(calm: Finished) -> None:
    assert Ledger(str(calm.workspace)).active() == []


def completed(words: str, shell: str = "bash", **environment: str) -> list[str]:
    """What the shell is offered for the last of `words`, as click's scripts ask for it."""
    said = subprocess.run(
        [Path(sys.executable).with_name("savs-submit")],
        env=os.environ
        | {"_SAVS_SUBMIT_COMPLETE": f"{shell}_complete"}
        | {"COMP_WORDS": f"savs-submit {words}", "COMP_CWORD": str(len(words.split(" ")))}
        | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stderr == ""
    return [line.partition(",")[2] for line in said.stdout.splitlines() if line]


def test_names_of_jobs_are_completed(workspace: Path) -> None:
    ledger = three_jobs(workspace)
    ledger.create_job(extract_job("cats"), plan_of(2))

    where = {"SAVS_WORKSPACE": str(workspace)}

    assert completed("status ", **where) == ["cats", "dogs", "owls"]
    assert completed("retry d", **where) == ["dogs"]
    assert completed(f"watch --workspace {workspace} o") == ["owls"]
    assert completed("status ") == [], "without a workspace there is none, and no error"


def test_completion_prints_a_script_that_bash_understands() -> None:
    said = savs_submit("completion", "bash")

    assert said.exit_code == 0
    assert "_SAVS_SUBMIT_COMPLETE=bash_complete" in said.stdout
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n"], input=said.stdout, text=True, check=True)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_knows_other_shells(shell: str) -> None:
    assert f"_SAVS_SUBMIT_COMPLETE={shell}_complete" in savs_submit("completion", shell).stdout


def test_without_a_known_shell_completion_asks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/csh")
    said = savs_submit("completion")
    assert said.exit_code == 2 and "give a shell: bash, zsh or fish" in said.stderr


@pytest.mark.parametrize(
    "url", ["redis://:p/ss@host:6379/0", "redis://host:secret", "redis://me:secret@host:port/0"]
)
@pytest.mark.parametrize("command", [["watch", "cats"], ["doctor"], ["resume", "cats"]])
def test_a_broker_address_that_cannot_be_read_is_one_sentence_without_the_password(
    workspace: Path, url: str, command: list[str]
) -> None:
    three_jobs(workspace)

    said = savs_submit(*command, "--workspace", workspace, "--broker", url)

    assert said.exit_code == 2
    assert "--broker: its host or port cannot be read" in said.stderr
    assert "secret" not in said.output and "p/ss" not in said.output

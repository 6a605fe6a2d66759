"""Damaged ledgers, hostile names and malformed addresses: each command answers with a sentence."""

import json
import os
import re
from pathlib import Path

import pytest

from jobs.ledger.ledger import Ledger
from jobs.queue.broker import Broker, ServingWorker
from jobs.records.job import ZeroShot
from jobs.records.outcome import Outcome
from jobs.records.record import parse
from jobs.reduce.reducer import reduce_job
from savs.artifact.artifact import load_artifact, save_artifact
from savs.errors import ArtifactError, LedgerError
from tests.jobs.cli.damaging import CONTROL, damage_and_run
from tests.jobs.cli.mutating import STRANGE, leaves
from tests.jobs.conftest import savs_submit
from tests.jobs.ledgers import classify_job, plan_of, row, write_outcome
from tests.pool.servers import Pool
from tests.savs.readout.test_artifact import make

SEED, COMMANDS = 20301, 250
LONG = "x" * 5000
READING = ("status", "list", "logs", "results", "compare", "artifacts", "resume", "retry", "watch")


def test_every_command_answers_a_damaged_workspace_with_a_sentence() -> None:
    tried, survived, failures = damage_and_run(SEED, COMMANDS)

    assert (tried, survived) == (COMMANDS, COMMANDS), "\n".join(failures)


def ended(workspace: Path, **name: str) -> Path:
    """A job that has ended, with scores and an error. Return its folder."""
    ledger = Ledger(str(workspace))
    job = ledger.create_job(classify_job(**name), plan_of(2, 1))
    write_outcome(ledger, job, 0, [row(0, "cat", "cat"), row(1, "dog", "cat")])
    write_outcome(ledger, job, 1, [row(2, None, "cat", error="missing_media")])
    reduce_job(ledger, job)
    return workspace / "jobs" / job.job_id


def test_a_value_of_the_wrong_type_anywhere_in_a_summary_is_a_sentence(workspace: Path) -> None:
    summary = ended(workspace) / "summary.json"
    whole = json.loads(summary.read_bytes())
    refused = 0
    for number, place in enumerate(leaves(whole)):
        damaged = json.loads(json.dumps(whole))
        value = damaged
        for key in place[:-1]:
            value = value[key]
        value[place[-1]] = STRANGE[number % len(STRANGE)]
        summary.write_text(json.dumps(damaged))
        for command in (("status", "pets"), ("list",), ("logs", "pets"), ("watch", "pets")):
            said = savs_submit(*command, "--workspace", workspace)
            assert said.exit_code in (0, 1, 3)
            refused += "is not a summary" in said.stderr
    assert refused > 30


def test_a_summary_of_another_job_is_not_shown(workspace: Path) -> None:
    first, second = ended(workspace), ended(workspace, name="birds")
    (second / "summary.json").write_bytes((first / "summary.json").read_bytes())

    said = savs_submit("status", "birds", "--workspace", workspace)

    assert said.exit_code == 1 and "belongs to another job" in said.stderr


HOSTILE = b"\x1b[31mred\xff"


@pytest.mark.parametrize("command", ["list", "artifacts", "status", "delete"])
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_names_of_folders_do_not_control_the_terminal(
    workspace: Path, command: str, more: tuple[str, ...]
) -> None:
    job = ended(workspace)
    os.rename(os.fsencode(job), os.fsencode(job.parent) + b"/" + HOSTILE)  # noqa: PTH104
    made = workspace / "artifacts" / "pets" / "one"
    save_artifact(make(), str(made))
    (made / "manifest.json").write_text("{")
    os.rename(os.fsencode(made), os.fsencode(made.parent) + b"/" + HOSTILE)  # noqa: PTH104
    arguments = {"status": ["pets"], "delete": ["--orphans"]}.get(command, [])

    said = savs_submit(command, *arguments, *more, "--workspace", workspace)

    assert said.exit_code in (1, 2) and "red" in said.stderr
    assert not CONTROL.search(said.output)


@pytest.mark.parametrize(
    "url",
    ["http://[::1", "x", "http://", "http://host:port", "http://a b", "ftp://host", "http://host:99999"],
)
@pytest.mark.parametrize("place", ["s3://bucket/results", "results"])
def test_a_malformed_endpoint_is_a_sentence(url: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVS_S3_ENDPOINT_URL", url)

    said = savs_submit("list", "--workspace", place)

    assert said.exit_code == 2
    assert said.stderr == (
        f"savs-submit: SAVS_S3_ENDPOINT_URL: {url} is not an http:// or https:// address\n"
    )


@pytest.mark.parametrize("url", ["http://localhost:9000", "https://s3.example.org/path", "http://[::1]:9000"])
def test_an_endpoint_may_have_a_port_a_path_and_an_address(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.settings import set_up_environment

    monkeypatch.setenv("SAVS_S3_ENDPOINT_URL", url)

    set_up_environment()


@pytest.mark.parametrize("command", ["list", "status", "artifacts", "results", "plan", "run"])
def test_the_home_of_a_user_that_does_not_exist_is_a_sentence(workspace: Path, command: str) -> None:
    home = "~nosuchuser/results"
    arguments = {
        "status": ["pets"],
        "results": ["pets", "--out", home],
        "plan": ["--data", home, "--model", "demo"],
        "run": ["--train", home, "--data", home, "--model", "demo", "--name", "pets"],
    }.get(command, [])
    if command == "results":
        ended(workspace)
    place = workspace if command in ("results", "plan", "run") else home

    said = savs_submit(command, *arguments, "--workspace", place)

    assert said.exit_code == 2
    assert re.search(r"~nosuchuser\S* ?: the home folder ~nosuchuser is not known", said.stderr), said.stderr


@pytest.mark.parametrize("command", [(c,) for c in READING] + [("show",), ("cancel",), ("delete", "--yes")])
def test_a_name_of_5000_characters_is_a_sentence(workspace: Path, command: tuple[str, ...]) -> None:
    ended(workspace)
    names = {"list": [], "artifacts": [], "compare": [LONG, LONG]}.get(command[0], [LONG])

    for place in (workspace, f"/{LONG}"):
        said = savs_submit(*command, *names, "--workspace", place)
        assert said.exit_code in (0, 2) and "Errno" not in said.output


def test_what_others_write_beside_the_workers_of_a_pool_is_left_out(pool: Pool) -> None:
    broker: Broker = pool.broker
    worker = ServingWorker("host", 7, str(pool.workspace), ("/data",))
    broker.show_life("savs.cpu", worker)
    foreign = [b"{", b"[]", b"7", b"\xff", b'{"host": "a"}', b"[" * 100_000]
    foreign += [json.dumps({"host": 1, "pid": 2, "workspace": "w", "roots": []}).encode()]
    foreign += [json.dumps({"host": "h", "pid": 2, "workspace": "w", "roots": [3]}).encode()]
    foreign += [json.dumps({"host": "h", "pid": 2, "workspace": "w", "roots": "r"}).encode()]
    for number, value in enumerate(foreign):
        broker.redis.set(f"savs:worker:savs.cpu:foreign:{number}", value)
    broker.redis.rpush("savs:worker:savs.cpu:a-list", "x")
    broker.redis.set(b"savs:worker:savs.cpu:\xff\x1b[31m", b"{}")

    assert list(broker.serving("savs.cpu")) == [worker]
    assert worker.name in broker.alive("savs.cpu")


def test_errors_quote_nothing_that_is_in_a_file(tmp_path: Path) -> None:
    # the file may be one that a link led to: what is wrong is told by the names of fields and by types
    secrets = [b"SECRET", b'{"SECRET": 1}', b'{"spec": {"kind": "SECRET"}}', b'"SECRET', b"SECRET\xff"]
    for number, secret in enumerate(secrets):
        for model in (type(classify_job()), Outcome, ZeroShot):
            with pytest.raises(LedgerError) as raised:
                parse(model, secret, f"{number}.json")
            assert "SECRET" not in str(raised.value)
        (tmp_path / "manifest.json").write_bytes(secret)
        with pytest.raises(ArtifactError) as told:
            load_artifact(str(tmp_path))
        assert "SECRET" not in str(told.value)

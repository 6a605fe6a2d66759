"""`--notify`: an address is told once of each job's end, if it may be told at all. The server is real."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobs.cli import main
from jobs.ledger.notifications import ask_to_notify, wanted_notification
from jobs.ledger.reports import report_key
from jobs.records.job import Job
from jobs.records.message import PlanJob
from jobs.run.advance import attempt_to_advance, reduce_then_enqueue
from jobs.run.attempt import finish_shard
from jobs.run.notify import is_allowed, notify_end
from savs.data.web import Patience
from savs.data.web_post import post, why_not_postable
from savs.errors import ForbiddenMedia, UnreadableMedia
from tests.jobs.ledgers import classify_job, plan_of, row, write_outcome
from tests.pool.servers import CLASSES, MODEL, Pool, cpu_worker, wait_until, write_manifest

SECRET = "T0P/s3cr3t"
QUICK = Patience(total=10, connect=5, read=5, pauses=(0, 0))


class Hook(ThreadingHTTPServer):
    """Remembers what it was sent. Answers with `statuses` in turn, the last again and again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses = [200]
        self.got: list[tuple[str, str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{SECRET}?key={SECRET}"

    @property
    def told(self) -> list[dict[str, object]]:
        return [json.loads(body) for _, _, body in self.got]


class Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Content-Type"], body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def allowed(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> Hook:
    """The server, at an address that this process and the workers that it starts may post to."""
    monkeypatch.setenv("SAVS_NOTIFY_HOSTS", f"hooks.internal 127.0.0.1:{hook.server_port}")
    return hook


def run_pets(pool: Pool, *more: str, env: dict[str, str] | None = None) -> Result:
    place = pool.workspace.parent
    files = [
        *("--train", write_manifest(f"{place}/train.jsonl", 12, lambda i: f"{CLASSES[i % 3]}-t{i}")),
        *("--data", write_manifest(f"{place}/data.jsonl", 8, lambda i: f"{CLASSES[i % 3]}-{i}")),
    ]
    how = ["--model", MODEL, "--name", "pets", "--heads", "5", "--readout", "reference"]
    where = ["--workspace", pool.address, "--broker", pool.redis.url]
    return CliRunner().invoke(main, ["run", *files, *how, *where, *more], env=env, catch_exceptions=False)


def everything_in(folder: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


def test_the_end_of_each_job_of_a_pool_is_told_once_without_its_secret_in_any_log(
    pool: Pool, allowed: Hook
) -> None:
    pool.start("cpu")
    pool.start("gpu")
    # as a busy server does
    allowed.statuses = [503, 200]

    assert run_pets(pool, env={"SAVS_NOTIFY_URL": allowed.url}).exit_code == 0

    [extract, classify] = pool.ledger.jobs("pets")
    wait_until(lambda: len(allowed.got) == 3, "both ends are told, one of them at the second try")
    assert {(path, kind) for path, kind, _ in allowed.got} == {
        (f"/{SECRET}?key={SECRET}", "application/json")
    }
    assert [one["job_id"] for one in allowed.told] == [extract.job_id] * 2 + [classify.job_id]
    summary = pool.ledger.summary(classify.job_id)
    assert allowed.told[2] == {
        "schema_version": 1,
        "job_id": classify.job_id,
        "name": "pets",
        "kind": "classify",
        "status": "done",
        "rows": 8,
        "labelled": 8,
        "abstained": 0,
        "failed": 0,
        "accuracy": summary["accuracy"],
        "workspace": pool.address,
    }
    assert SECRET not in pool.log(0) + pool.log(1)
    wait_until(lambda: SECRET not in everything_in(pool.workspace), "the address is forgotten")


def test_a_private_address_that_nobody_has_allowed_is_not_told_and_the_job_is_done(
    pool: Pool, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    job = ended_job(pool)
    ask_to_notify(pool.ledger, job.job_id, hook.url)

    reduce_then_enqueue(pool.ledger, pool.broker, job)
    notify_end(pool.ledger, job)

    assert pool.ledger.summary(job.job_id)["status"] == "done"
    assert hook.got == []
    assert "is not on the public internet; to allow its host, name it in" in caplog.text
    assert SECRET not in caplog.text
    assert wanted_notification(pool.ledger, job.job_id) is None


def ended_job(pool: Pool, name: str = "pets") -> Job:
    """A job of two rows whose only shard has an outcome."""
    job = pool.ledger.create_job(classify_job(name), plan_of(2))
    write_outcome(pool.ledger, job, 0, [row(0, "cat", "cat"), row(1, "dog", "cat")])
    return job


def test_an_end_is_told_once_by_however_many_and_again_only_if_somebody_asks(
    pool: Pool, allowed: Hook
) -> None:
    job = ended_job(pool)
    notify_end(pool.ledger, job)
    ask_to_notify(pool.ledger, job.job_id, allowed.url)
    wanted = pool.ledger.store.read(f"jobs/{job.job_id}/notify.json")
    notify_end(pool.ledger, job)
    assert allowed.got == [], "it has not ended"
    reduce_then_enqueue(pool.ledger, pool.broker, job)
    pool.ledger.store.write(report_key(job.job_id), b"a report")

    notify_end(pool.ledger, job)
    pool.ledger.store.write(f"jobs/{job.job_id}/notify.json", wanted)  # as another one reads it who is late
    notify_end(pool.ledger, job)

    assert [(one["status"], one["accuracy"]) for one in allowed.told] == [("done", 0.5)]
    assert allowed.told[0]["report"] == f"{pool.address}/jobs/{job.job_id}/report/index.html"
    ask_to_notify(pool.ledger, job.job_id, allowed.url)
    notify_end(pool.ledger, job)
    assert len(allowed.got) == 2


def test_a_job_that_cannot_be_planned_or_is_stopped_is_told_too(pool: Pool, allowed: Hook) -> None:
    # given a job whose manifest is gone, and one whose first rows have all failed
    ledger = pool.ledger
    gone = ledger.create_job(classify_job("gone"))
    bad = ledger.create_job(classify_job("bad"), plan_of(1000, 500))
    for job in (gone, bad):
        ledger.activate(job.job_id)
        ask_to_notify(ledger, job.job_id, allowed.url)
    write_outcome(ledger, bad, 0, [row(i, None, error="missing_media") for i in range(1000)])

    attempt_to_advance(cpu_worker(pool), PlanJob(job_id=gone.job_id, at=pool.broker.board("savs.cpu").time()))
    finish_shard(ledger, pool.broker, "savs.gpu.demo", bad, ledger.planned(bad.job_id).shard(0))

    said = [(one["name"], one["status"], one["rows"], one["labelled"], one["failed"]) for one in allowed.told]
    assert said == [("gone", "failed", 0, 0, 0), ("bad", "stopped", 1000, 0, 1000)]


def test_a_hook_that_fails_costs_the_job_nothing(
    pool: Pool, allowed: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    allowed.statuses = [404]
    job = ended_job(pool)
    ask_to_notify(pool.ledger, job.job_id, allowed.url)
    reduce_then_enqueue(pool.ledger, pool.broker, job)

    notify_end(pool.ledger, job)

    assert len(allowed.got) == 1, "asking again would not help"
    assert f"http://127.0.0.1:{allowed.server_port} answers 404" in caplog.text
    assert SECRET not in caplog.text


def test_resume_may_ask_to_be_told(pool: Pool, hook: Hook) -> None:
    job = pool.ledger.create_job(classify_job("half"), plan_of(2))
    where = ["--workspace", pool.address, "--broker", pool.redis.url]

    done = CliRunner().invoke(main, ["resume", "half", *where, "--notify", hook.url], catch_exceptions=False)

    assert done.exit_code == 0
    wanted = wanted_notification(pool.ledger, job.job_id)
    assert wanted is not None and wanted.url == hook.url
    shown = CliRunner().invoke(main, ["status", "half", *where, "--json"], catch_exceptions=False)
    assert SECRET not in shown.output + done.output


@pytest.mark.parametrize(
    "url",
    [f"ftp://host/{SECRET}", f"https://me:{SECRET}@host/", f"https://host:{SECRET}/", f"https:///{SECRET}"],
)
def test_what_cannot_be_told_is_an_error_that_does_not_quote_it(pool: Pool, url: str) -> None:
    said = run_pets(pool, "--notify", url)

    assert said.exit_code == 2 and "--notify" in said.output
    assert SECRET not in said.output
    assert pool.ledger.jobs() == []


def test_redirects_are_not_followed(hook: Hook) -> None:
    hook.statuses = [307]

    with pytest.raises(UnreadableMedia, match="answers 307; redirects are not followed") as failure:
        post(hook.url, b"{}", QUICK, allowed=lambda place: True)

    assert SECRET not in str(failure.value) and len(hook.got) == 1


def test_a_name_with_a_private_address_among_others_is_not_told(hook: Hook) -> None:
    url = f"http://hooks.example:{hook.server_port}/{SECRET}"

    with pytest.raises(ForbiddenMedia) as failure:
        post(url, b"{}", QUICK, resolve=lambda host, port: ["93.184.216.34", "127.0.0.1"])

    assert hook.got == [] and SECRET not in str(failure.value)


def test_a_server_that_is_away_is_tried_as_often_as_patience_says(hook: Hook) -> None:
    hook.statuses = [503, 429, 204]
    post(hook.url, b"{}", QUICK, allowed=lambda place: True)
    assert len(hook.got) == 3

    hook.statuses = [500]
    with pytest.raises(UnreadableMedia, match="answers 500"):
        post(hook.url, b"{}", QUICK, allowed=lambda place: True)
    assert len(hook.got) == 6
    with pytest.raises(UnreadableMedia, match="answers 500"):
        post(hook.url, b"{}", replace(QUICK, total=0.5, pauses=(5,)), allowed=lambda place: True)
    assert len(hook.got) == 7


@pytest.mark.parametrize(
    ("url", "hosts", "may"),
    [
        ("https://Hooks.internal/x", "other hooks.internal", True),
        ("https://hooks.internal/x", "hooks.internal:443", True),
        ("http://hooks.internal/x", "hooks.internal:443", False),
        ("http://hooks.internal:8080/x", "hooks.internal:80", False),
        ("http://[fd00::1]:80/x", "[fd00::1]:80", True),
        ("https://evil.hooks.internal/", "hooks.internal", False),
        ("https://hooks.internal.evil/", "hooks.internal", False),
        ("https://hooks.internal/", "", False),
    ],
)
def test_which_hosts_are_allowed(url: str, hosts: str, may: bool) -> None:
    assert why_not_postable(url) is None
    assert is_allowed(url, hosts) == may

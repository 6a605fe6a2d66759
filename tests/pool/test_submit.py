"""`savs-submit` with a broker: a pool does the work, and commands follow it."""

import json
import threading
from pathlib import Path

from click.testing import CliRunner, Result

from jobs.cli import main
from jobs.run.watch import follow
from tests.pool.servers import MODEL, TIMES, Pool, RedisServer, queue_length, wait_until, write_manifest


def submit(pool: Pool, *arguments: str) -> Result:
    """`savs-submit` in this process, for `pool`."""
    where = ["--workspace", str(pool.workspace), "--broker", pool.redis.url]
    return CliRunner().invoke(main, [*arguments, *where], catch_exceptions=False)


def run_pets(pool: Pool, tmp_path: Path, *more: str) -> Result:
    train = write_manifest(f"{tmp_path}/train.jsonl", 12, lambda i: f"{('cat', 'dog', 'owl')[i % 3]}-t{i}")
    data = write_manifest(f"{tmp_path}/data.jsonl", 40, lambda i: f"{('cat', 'dog', 'owl')[i % 3]}-{i}")
    files = ["--train", train, "--data", data]
    return submit(
        pool,
        "run",
        *files,
        "--model",
        MODEL,
        "--name",
        "pets",
        "--heads",
        "5",
        "--readout",
        "reference",
        "--shard-size",
        "10",
        *more,
    )


def test_run_returns_at_once_and_says_when_no_worker_serves_the_model(pool: Pool, tmp_path: Path) -> None:
    said = run_pets(pool, tmp_path)

    assert said.exit_code == 0
    assert "pets-extract-" in said.stdout
    assert "waits for the job before it" in said.stdout
    assert f"no worker is running for this model; start one: savs-worker gpu --model {MODEL}" in said.stderr


def test_watch_follows_a_job_to_its_end_and_results_are_its_rows(pool: Pool, tmp_path: Path) -> None:
    pool.start("cpu")
    pool.start("gpu")
    run_pets(pool, tmp_path)

    watched = submit(pool, "watch", "pets", "--json")

    assert watched.exit_code == 0
    summaries = json.loads(watched.stdout)
    assert [s["status"] for s in summaries] == ["done", "done"]
    assert summaries[1]["labelled"] == 40
    lines = [json.loads(line) for line in watched.stderr.splitlines()]
    states = [line["jobs"] for line in lines if "jobs" in line]
    assert [job["shards_done"] for job in states[-1]] == [2, 4]
    assert states[-1][1]["items_per_second"] > 0 and states[-1][1]["eta_seconds"] == 0
    listed = CliRunner().invoke(main, ["results", "pets", "--workspace", str(pool.workspace)])
    assert [json.loads(line)["index"] for line in listed.stdout.splitlines()] == list(range(40))


def test_with_wait_the_command_ends_when_the_jobs_do(pool: Pool, tmp_path: Path) -> None:
    pool.start("cpu")
    pool.start("gpu")

    said = run_pets(pool, tmp_path, "--wait", "--json")

    assert said.exit_code == 0
    assert [s["status"] for s in json.loads(said.stdout)] == ["done", "done"]


def test_a_pool_runs_splits_side_by_side_and_the_table_comes_at_the_end(pool: Pool, tmp_path: Path) -> None:
    pool.start("cpu")
    pool.start("gpu")
    for folder, rows in (("train", 12), ("data", 20)):
        (tmp_path / folder).mkdir()
        for split in ("left", "right"):
            where = f"{tmp_path}/{folder}/{split}.jsonl"
            write_manifest(where, rows, lambda i, split=split: f"{('cat', 'dog')[i % 2]}-{split}-{i}")
    folders = ["--train", str(tmp_path / "train"), "--data", str(tmp_path / "data")]

    said = submit(
        pool,
        "run",
        *folders,
        "--model",
        MODEL,
        "--name",
        "pets",
        "--heads",
        "5",
        "--readout",
        "reference",
        "--wait",
        "--json",
    )

    *summaries, table = json.loads(said.stdout)
    assert said.exit_code == 0
    assert [(s["name"], s["kind"]) for s in summaries] == [
        (f"pets.{split}", kind) for split in ("left", "right") for kind in ("extract", "classify")
    ]
    assert [(split["split"], split["rows"]) for split in table["splits"]] == [("left", 20), ("right", 20)]


def test_watch_alone_sees_to_it_that_a_job_ends(pool: Pool, tmp_path: Path) -> None:
    # given a pool without a cpu worker that sweeps, and a queue that was emptied
    pool.start("gpu")
    pool.start("cpu", SAVS_SWEEP_EVERY="1000")
    run_pets(pool, tmp_path)
    wait_until(lambda: len(pool.ledger.jobs("pets")) == 2, "the jobs are there")
    pool.broker.redis.flushall()

    watched = submit(pool, "watch", "pets", "--json")

    assert watched.exit_code == 0


def test_watch_outlives_a_redis_that_goes_away_and_comes_back(pool: Pool, tmp_path: Path) -> None:
    pool.start("cpu")
    pool.start("gpu", FAKE_BATCH_SECONDS="0.3")
    run_pets(pool, tmp_path)
    looks = 0

    def show(states: list[dict[str, object]]) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            pool.redis.kill()
            threading.Timer(2.0, pool.redis.start).start()

    summaries = follow(pool.ledger, pool.broker, pool.ledger.jobs("pets"), show, TIMES)

    assert [s["status"] for s in summaries] == ["done", "done"]


def test_a_live_worker_is_seen(pool: Pool, tmp_path: Path) -> None:
    pool.start("gpu")
    wait_until(lambda: pool.broker.workers(pool.queue) == 1, "the worker shows life")

    assert "no worker is running" not in run_pets(pool, tmp_path).stderr


def test_submitting_twice_joins_the_job(pool: Pool, tmp_path: Path) -> None:
    first, again = run_pets(pool, tmp_path), run_pets(pool, tmp_path)

    assert first.stdout == again.stdout
    assert len(pool.ledger.jobs()) == 2
    assert queue_length(pool) == 2


def test_a_broker_that_is_not_there_is_one_clear_line(
    pool: Pool, redis_server: RedisServer, tmp_path: Path
) -> None:
    redis_server.kill()

    said = run_pets(pool, tmp_path)

    assert said.exit_code == 1
    assert "savs-submit: redis://127.0.0.1:" in said.stderr
    assert "submitting again is safe" in said.stderr
    redis_server.start()


def test_a_password_in_the_brokers_address_is_never_shown(tmp_path: Path) -> None:
    train = write_manifest(f"{tmp_path}/train.jsonl", 12, lambda i: f"{('cat', 'dog')[i % 2]}-{i}")
    said = CliRunner().invoke(
        main,
        [
            *("extract", "--train", train, "--model", MODEL, "--name", "x"),
            *("--workspace", str(tmp_path / "w"), "--broker", "redis://savs:secret@127.0.0.1:1/0"),
        ],
    )

    assert said.exit_code == 1
    assert "secret" not in said.output
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"secret" in p.read_bytes()]

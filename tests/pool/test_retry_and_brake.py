"""Retries, given-up shards and the brake, with a pool that does the work."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from jobs.cli import main
from jobs.ledger.results import result_rows
from jobs.records.message import CPU_QUEUE
from jobs.reduce.status import job_state
from tests.pool.servers import CLASSES, MODEL, Pool, wait_until, write_manifest


def savs_submit(pool: Pool, *arguments: str) -> Result:
    where = ["--workspace", pool.address, "--broker", pool.redis.url]
    return CliRunner().invoke(main, [*arguments, *where], catch_exceptions=False)


def run_pets(pool: Pool, train: list[str], data: list[str], shard_size: int, *more: str) -> Result:
    folder = pool.workspace.parent
    files = [
        *("--train", write_manifest(f"{folder}/train.jsonl", len(train), lambda i: train[i])),
        *("--data", write_manifest(f"{folder}/data.jsonl", len(data), lambda i: data[i])),
    ]
    how = [
        "--model",
        MODEL,
        "--name",
        "pets",
        "--heads",
        "5",
        "--readout",
        "reference",
        "--shard-size",
        str(shard_size),
    ]
    return savs_submit(pool, "run", *files, *how, "--wait", *more)


def names(count: int, mark: str = "") -> list[str]:
    return [f"{CLASSES[i % 3]}-{mark}{i}" for i in range(count)]


def test_what_was_given_up_and_what_failed_is_mended_and_only_that_runs_again(pool: Pool) -> None:
    # given an extract job with a shard that always breaks, and a corpus with two rotten rows
    cured = pool.workspace.parent / "cured"
    pool.start("cpu")
    pool.start("gpu", FAKE_CURED=str(cured), SAVS_ATTEMPTS="2")
    train, data = names(12, "t"), names(30)
    train[7] += "-broken"
    data[3] += "-rotten"
    data[12] += "-rotten"
    said = run_pets(pool, train, data, 6)
    extract, classify = pool.ledger.jobs("pets")
    assert said.exit_code == 1 and "not run, because the job before it is not done" in said.stdout
    assert job_state(pool.ledger, extract)["status"] == "incomplete"
    assert job_state(pool.ledger, classify)["status"] == "blocked"

    # if that is mended, and the shard is asked for again
    cured.write_text("broken")
    again = savs_submit(pool, "resume", "pets", "--retry-failed-shards", "--wait", "--json")

    # then the artifact is made, and the job that waited for it runs
    assert again.exit_code == 3, again.output
    first, second = json.loads(again.stdout)
    assert (first["status"], second["status"], second["failed"]) == ("done", "done", 2)
    parts = sorted((pool.workspace / "jobs" / classify.job_id / "parts").glob("*"))

    # and once its rows are mended too, a retry ends without a failed one
    cured.write_text("broken rotten")
    last = savs_submit(pool, "retry", "pets", "--wait", "--json")
    assert last.exit_code == 0, last.output
    assert json.loads(last.stdout)[1]["labelled"] == 30
    rows = [json.loads(line) for line in result_rows(pool.ledger, classify.job_id)]
    assert [row["index"] for row in rows] == list(range(30)) and all(row["prediction"] for row in rows)
    new = set((pool.workspace / "jobs" / classify.job_id / "parts").glob("*")) - set(parts)
    [part] = new
    assert [json.loads(line)["index"] for line in part.read_bytes().splitlines()] == [3, 12]

    # and nothing is left on any board
    wait_until(
        lambda: not len(pool.broker.board(CPU_QUEUE)) and not len(pool.broker.board(pool.queue)),
        "nothing is outstanding",
    )
    wait_until(lambda: not pool.ledger.active(), "no job is to be seen to")


def test_a_corpus_whose_first_rows_mostly_fail_is_stopped_and_goes_on_when_resumed(pool: Pool) -> None:
    pool.start("cpu")
    for _ in range(2):
        pool.start("gpu", FAKE_BATCH_SECONDS="0.01")
    data = [name + "-rotten" * (i % 5 != 0) for i, name in enumerate(names(4000))]

    said = run_pets(pool, names(12, "t"), data, 125, "--batch-tokens", "125", "--json")

    # it stopped after the first thousand, but for what had been begun
    why = "800 of its first 1000 rows failed, more than 50% (--max-failure-rate)"
    assert said.exit_code == 1 and why in said.stderr
    [_, classify] = pool.ledger.jobs("pets")
    wait_until(lambda: not len(pool.broker.board(pool.queue)), "nothing is outstanding")
    # the board of a stopped job is emptied at once, while a shard that was claimed before still runs
    wait_until(pool.is_idle, "no shard runs")
    done = len(pool.ledger.committed(classify.job_id))
    assert 8 <= done <= 8 + 4
    assert why in savs_submit_here(pool, "status", "pets").stdout
    again = run_pets(pool, names(12, "t"), data, 125, "--batch-tokens", "125")
    assert again.exit_code == 1 and why in again.stderr
    assert len(pool.ledger.committed(classify.job_id)) == done

    # and who resumes it has the last word
    resumed = savs_submit(pool, "resume", "pets", "--wait", "--json")
    assert resumed.exit_code == 3, resumed.output
    assert json.loads(resumed.stdout)[1]["failed"] == 3200


def savs_submit_here(pool: Pool, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--workspace", pool.address], catch_exceptions=False)


def test_a_run_without_a_broker_is_none_of_a_pools_business(pool: Pool, tmp_path: Path) -> None:
    # given a job in the pool's workspace that was not handed to it
    from jobs.run.sweep import sweep
    from jobs.submit.submission import extract_job, submit
    from tests.pool.servers import TIMES

    train = write_manifest(f"{tmp_path}/train.jsonl", 6, lambda i: names(6)[i])
    submit(
        pool.ledger,
        [extract_job("mine", MODEL, train, heads=2, readout="reference", shard_size=2, batch_tokens=2)],
    )

    sweep(pool.ledger, pool.broker, TIMES)

    assert not len(pool.broker.board(pool.queue)) and not len(pool.broker.board(CPU_QUEUE))

"""Attacks on a running pool through its Redis."""

import json
import random
import tempfile
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from jobs.ledger.results import result_rows
from jobs.queue.broker import lanes
from jobs.queue.enqueue import enqueue_due
from jobs.records.job import Job
from jobs.records.message import CPU_QUEUE, PlanJob, ReduceJob, RunShard
from jobs.submit.retry import retry_job
from tests.attack.tally import Tally
from tests.jobs.cli.mutating import mutate
from tests.pool.servers import Pool, RedisServer, free_port, wait_until
from workers.messages.transport import _envelope

ROWS, SHARD = 240, 4
BATCH = "0.02"  # seconds that a batch of the fake model takes


@contextmanager
def attacked_pool() -> Iterator[tuple[Pool, list[Job]]]:
    """A pool with two jobs at work."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "redis").mkdir()
        server = RedisServer(folder / "redis", free_port())
        server.start()
        pool = Pool(server, folder / "workspace", folder)
        try:
            pool.start("cpu")
            pool.start("gpu", FAKE_BATCH_SECONDS=BATCH)
            jobs = pool.submit(rows=ROWS, shard_size=SHARD)
            wait_until(lambda: len(pool.ledger.committed(jobs[0].job_id)) > 0, "the jobs run")
            yield pool, jobs
        finally:
            pool.stop()
            server.kill()


def fault(pool: Pool, jobs: list[Job]) -> str | None:
    """Waits for the end of the jobs. Returns what is not as if nobody had attacked them."""
    try:
        wait_until(lambda: all(pool.finished(job) for job in jobs), "both jobs end", patience=120)
    except AssertionError as error:
        return str(error)
    if any(worker.poll() is not None for worker in pool.workers):
        return "a worker has ended"
    _bring_back(pool, jobs)
    wrong = [s["status"] for job in jobs if (s := pool.ledger.summary(job.job_id)) and s["status"] != "done"]
    if wrong:
        return f"jobs are {wrong}"
    rows = [json.loads(line) for line in result_rows(pool.ledger, jobs[1].job_id)]
    if [row["index"] for row in rows] != list(range(ROWS)) or any(row.get("error") for row in rows):
        return "rows are missing, double or failed"
    return None


def _bring_back(pool: Pool, jobs: list[Job]) -> None:
    """As `resume --retry-failed-shards`, once: who can write to Redis can make a pool give a shard up."""
    for job in jobs:
        summary = pool.ledger.summary(job.job_id)
        if summary is not None and summary["status"] == "incomplete":
            retry_job(pool.ledger, job, dead_only=True)
            enqueue_due(pool.ledger, pool.broker, [job])
            wait_until(lambda job=job: pool.finished(job), "the job ends again", patience=60)


def attack_with_envelopes(seed: int, count: int) -> Tally:
    """Malformed messages, one after another, on the queues of both kinds of workers."""
    rng, tally = random.Random(seed), Tally()
    with attacked_pool() as (pool, jobs):
        redis = pool.broker.redis
        for _ in range(count):
            queue = rng.choice(lanes(rng.choice([pool.queue, CPU_QUEUE])))
            sent = _hostile_envelope(jobs[1], queue, rng)
            redis.lpush(queue, sent)
            with suppress(AssertionError):
                wait_until(lambda queue=queue: not redis.llen(queue), "it is taken", patience=20)
            ended = [worker for worker in pool.workers if worker.poll() is not None]
            tally.count(f"ended a worker: {sent[:300]!r}" if ended or redis.llen(queue) else None)
            if ended:
                return tally
        tally.failures += filter(None, [fault(pool, jobs)])
    return tally


def _hostile_envelope(job: Job, queue: str, rng: random.Random) -> bytes:
    message = RunShard(task="classify_shard", job_id=job.job_id, shard=rng.randrange(9))
    whole = _envelope(message, queue)
    body = json.dumps([[message.model_dump(mode="json")], {}, {}]).encode()
    celery = rng.choice([{"compression": "gzip"}, {"eta": "2999"}, {"task": "celery.chord_unlock"}])
    ways: list[Callable[[], bytes]] = [
        lambda: mutate(json.dumps(whole).encode(), rng),
        lambda: json.dumps(whole | {"body": b64encode(mutate(body, rng)).decode()}).encode(),
        lambda: json.dumps(whole | {"headers": whole["headers"] | celery}).encode(),
        lambda: rng.choice([b"", b"x", b"[1]", b"null", b"[" * 50_000, rng.randbytes(50), b"\xff\xfe"]),
        lambda: json.dumps(whole | {"body": "A" * rng.choice([1, 10**6])}).encode(),
        lambda: json.dumps({"__type__": rng.choice(["datetime", "uuid", "bytes"]), "__value__": 5}).encode(),
    ]
    return rng.choice(ways)()


def attack_with_messages(seed: int, count: int) -> Tally:
    """Well-formed messages that nobody of the pool sent."""
    rng, tally = random.Random(seed), Tally()
    with attacked_pool() as (pool, jobs):
        for _ in range(count):
            cpu = rng.random() < 0.3
            queue = rng.choice(lanes(CPU_QUEUE if cpu else pool.queue))
            message = _forged(rng.choice(jobs).job_id, cpu, rng)
            pool.broker.redis.rpush(queue, json.dumps(_envelope(message, queue)))
            tally.count("ended a worker" if any(w.poll() is not None for w in pool.workers) else None)
        tally.failures += filter(None, [fault(pool, jobs)])
    return tally


def _forged(job_id: str, cpu: bool, rng: random.Random) -> RunShard | PlanJob | ReduceJob:
    epoch, at = rng.choice([1, 2, 3, 2**50]), rng.choice([0.0, 1e9, 2e9, 9e15])
    if cpu:
        return rng.choice([PlanJob, ReduceJob])(job_id=job_id, epoch=epoch, at=at)
    number = rng.choice([0, 1, rng.randrange(70), 77, 10**9])
    return RunShard(task="classify_shard", job_id=job_id, shard=number, epoch=epoch, at=at)


def _change_type(redis: Redis, key: str) -> None:
    kind = redis.type(key)
    redis.delete(key)
    if kind == b"string":
        redis.rpush(key, "x")
    else:
        redis.set(key, "x")


def attack_boards(seed: int, count: int) -> Tally:
    """Fields, counts and keys that nobody of the pool wrote."""
    rng, tally = random.Random(seed), Tally()
    entry = json.dumps({"state": "queued", "epoch": 1, "attempts": 0, "at": 0, "lane": 0}).encode()
    with attacked_pool() as (pool, jobs):
        redis = pool.broker.redis
        for _ in range(count):
            board = pool.broker.board(rng.choice([pool.queue, CPU_QUEUE]))
            job_id = rng.choice(jobs).job_id
            unit = rng.choice([str(rng.randrange(70)), "plan", "reduce", "9" * 5000, "x", "77"])
            value = rng.choice([mutate(entry, rng), b"[" * 50_000, b"", entry.replace(b"0}", b"0.5}")])
            way = rng.randrange(4)
            with suppress(RedisError):
                if way < 2:
                    redis.hset(board.key, f"{job_id}/{unit}", value)
                elif way == 2:
                    redis.hset(board.counts, job_id, rng.choice([b"abc", b"10000000", b"-5", b"1e400"]))
                else:
                    keys = (board.key, board.counts, "savs:watcher", "savs:board", f"{pool.queue}:0")
                    _change_type(redis, rng.choice(keys))
            tally.count("ended a worker" if any(w.poll() is not None for w in pool.workers) else None)
        tally.failures += filter(None, [fault(pool, jobs)])
    return tally


def _busy(redis: Redis, server: RedisServer) -> None:
    """A script that does not end makes Redis answer BUSY."""
    redis.config_set("lua-time-limit", 50)
    other = Redis.from_url(server.url, socket_timeout=30)

    def run() -> None:
        with suppress(RedisError):
            other.eval("while true do end", 0)

    thread = threading.Thread(target=run)
    thread.start()
    threading.Event().wait(1.0)
    redis.execute_command("SCRIPT", "KILL")
    thread.join()


def _unblock(redis: Redis, server: RedisServer) -> None:
    for client in redis.client_list():
        redis.execute_command("CLIENT", "UNBLOCK", client["id"], "ERROR")


def _replica(redis: Redis, server: RedisServer) -> None:
    redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    threading.Event().wait(1.0)
    redis.execute_command("REPLICAOF", "NO", "ONE")


def _full(redis: Redis, server: RedisServer) -> None:
    redis.config_set("maxmemory", 1)
    threading.Event().wait(1.0)
    redis.config_set("maxmemory", 0)


def _disconnect(redis: Redis, server: RedisServer) -> None:
    redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def _restart(redis: Redis, server: RedisServer) -> None:
    server.kill()
    server.start()


def _empty(redis: Redis, server: RedisServer) -> None:
    redis.flushall()


FAULTS = (_replica, _full, _unblock, _busy, _disconnect, _restart, _empty)


def attack_with_redis_faults(seed: int, count: int) -> Tally:
    """Error replies and losses of Redis, one after another, under a running job."""
    tally = Tally()
    with attacked_pool() as (pool, jobs):
        for number in range(count):
            break_it = FAULTS[number % len(FAULTS)]
            break_it(pool.broker.redis, pool.redis)
            ended = any(worker.poll() is not None for worker in pool.workers)
            tally.count(f"{break_it.__name__} ended a worker" if ended else None)
        tally.failures += filter(None, [fault(pool, jobs)])
    return tally

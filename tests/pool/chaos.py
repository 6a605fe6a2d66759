"""Fault 15: everything at once. `make chaos` runs this and CI does too.

400 shards on an S3 where one request in ten fails, with one item in twenty rotten, while workers,
their children and Redis are killed and Redis is emptied once. The rows must be those of a calm run,
byte for byte, and the summary too but for what depends on time. The ledger stays behind, and the
last line printed is JSON.
"""

import hashlib
import json
import logging
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from moto.server import ThreadedMotoServer

from jobs.ledger.results import result_rows
from jobs.records.job import Job
from savs.storage import s3_client
from tests.faulty_s3 import FaultyS3, now_and_then
from tests.pool.servers import CLASSES, Pool, RedisServer, children, wait_until
from tests.pool.zygote import WorkerProcess

SHARDS = 400
SHARD_ROWS = 5
KILLS = {"worker": 20, "child": 20, "redis": 3, "emptied": 1}
PAUSE = (0.8, 2.4)  # seconds between two blows
S3_FAULTS = 0.1
ROTTEN = 0.05
WORKERS = 3
PATIENCE = 700.0  # seconds for a whole run
VARIABLE = ("timings", "attempts", "created", "artifact", "job_id")
CHAOS = {"FAKE_BATCH_SECONDS": "0.5", "SAVS_ATTEMPTS": "50"}  # no shard is given up for bad luck


def name(i: int) -> str:
    rotten = random.Random(i).random() < ROTTEN
    return f"{CLASSES[i % 3]}-{i}{'-rotten' if rotten else ''}"


def start(root: Path, s3: str, bucket: str) -> Pool:
    """A pool on a Redis of its own, with its workspace in `bucket`."""
    s3_client(s3).create_bucket(Bucket=bucket)
    for folder in ("redis", "logs"):
        (root / bucket / folder).mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    redis = RedisServer(root / bucket / "redis", port)
    redis.start()
    return Pool(redis, root / "unused", root / bucket / "logs", f"s3://{bucket}/workspace")


def submit(pool: Pool) -> Job:
    return pool.submit(SHARDS * SHARD_ROWS, SHARD_ROWS, name, folder="s3://corpus/manifests")[1]


def blows(pool: Pool, rng: random.Random, environment: dict[str, str]) -> Counter[str]:
    """Deals them all, in a random order, and starts again what was killed."""
    waiting = [kind for kind, count in KILLS.items() for _ in range(count)]
    rng.shuffle(waiting)
    dealt: Counter[str] = Counter()
    gpus = [pool.start("gpu", **environment) for _ in range(WORKERS)]
    for kind in waiting:
        time.sleep(rng.uniform(*PAUSE))
        if kind == "redis":
            pool.redis.kill()
            time.sleep(rng.uniform(0, 1))
            pool.redis.start()
        elif kind == "emptied":
            pool.broker.redis.flushall()
        elif kind == "worker":
            victim = rng.randrange(WORKERS)
            os.killpg(gpus[victim].pid, signal.SIGKILL)
            gpus[victim].wait()
            gpus[victim] = pool.start("gpu", **environment)
        else:
            wait_until(lambda: all_children(gpus), "a child is there")
            os.kill(rng.choice(all_children(gpus)), signal.SIGKILL)
        dealt[kind] += 1
    return dealt


def all_children(workers: list[WorkerProcess]) -> list[int]:
    return [pid for worker in workers for pid in children(worker)]


def result(pool: Pool, job: Job) -> tuple[str, dict[str, Any], int]:
    """The sha256 of the sorted rows, the summary without what varies, and the number of rows."""
    rows = sorted(result_rows(pool.ledger, job.job_id), key=lambda row: json.loads(row)["index"])
    summary = pool.ledger.summary(job.job_id) or {}
    kept = {key: value for key, value in summary.items() if key not in VARIABLE}
    return hashlib.sha256(b"".join(rows)).hexdigest(), kept, len(rows)


def main(seed: int) -> int:
    rng = random.Random(seed)
    root = Path(tempfile.mkdtemp(prefix="savs-chaos-"))
    print(f"seed {seed}, logs and ledger in {root}", flush=True)
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(port=0)
    moto.start()
    s3 = f"http://127.0.0.1:{moto.get_host_and_port()[1]}"
    os.environ["SAVS_S3_ENDPOINT_URL"] = s3  # this process looks on undisturbed
    s3_client(s3).create_bucket(Bucket="corpus")
    proxy = FaultyS3(s3, now_and_then(S3_FAULTS, seed))
    began = time.monotonic()

    calm = start(root, s3, "calm")
    calm.start("cpu")
    for _ in range(2):
        calm.start("gpu")
    job = submit(calm)
    wait_until(lambda: calm.finished(job), "the calm run ends", PATIENCE)
    calm_hash, calm_summary, _ = result(calm, job)
    calm.stop()
    calm.redis.kill()
    print(f"the calm run took {time.monotonic() - began:.0f} s", flush=True)

    wild = start(root, s3, "wild")
    environment = CHAOS | {"SAVS_S3_ENDPOINT_URL": proxy.url}
    for _ in range(2):
        wild.start("cpu", **environment)
    job = submit(wild)
    dealt = blows(wild, rng, environment)
    done = len(wild.ledger.committed(job.job_id))
    print(f"all blows dealt, {done} of {SHARDS} shards done", flush=True)
    wait_until(lambda: wild.finished(job), "the wild run ends", PATIENCE)
    wild_hash, wild_summary, rows = result(wild, job)
    outcomes = len(list(wild.ledger.outcomes(job.job_id)))
    store = wild.ledger.store
    for key in store.list(""):
        path = root / "ledger" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.read(key))
    wild.stop()
    wild.redis.kill()
    proxy.stop()
    moto.stop()

    same = wild_hash == calm_hash and wild_summary == calm_summary
    good = same and outcomes == SHARDS and rows == SHARDS * SHARD_ROWS and done < SHARDS
    print(
        json.dumps(
            {
                "good": good,
                "seed": seed,
                "kills": dict(dealt),
                "s3_faults": len([f for *_, f in proxy.seen if f]),
                "outcomes": outcomes,
                "rows": rows,
                "failed_rows": wild_summary["failed"],
                "seconds": round(time.monotonic() - began),
                "sha256": {"calm": calm_hash, "wild": wild_hash},
                "summaries_equal": wild_summary == calm_summary,
            }
        )
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else random.randrange(2**32)))

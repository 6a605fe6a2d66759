"""Keeps a small workspace of this version for later ones to read: `python -m tests.keep_workspace FOLDER`.

It lies on S3, so that no address in it depends on a machine. In FOLDER:

    bucket/     every object of the bucket `kept`: manifests and pictures in data/, the workspace in work/.
                Jobs have ended, were retried, cancelled, queued, or killed just before a commit.
    expected/   what this version's commands print about it before and after all jobs are resumed

`tests/jobs/test_kept_workspaces.py` has later versions go on with it.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import boto3
from moto.server import ThreadedMotoServer

from tests.faulty_s3 import FaultyS3
from tests.pool.servers import RedisServer, free_port

BUCKET = "kept"
WORKSPACE = f"s3://{BUCKET}/work"
DATA = f"s3://{BUCKET}/data"
EXAMPLES, ROWS, SHARD, HEADS = 9, 20, 4, 5
ABSENT, BACK = (5, 13), 13  # rows whose pictures are missing at first, and the one whose picture comes back
PATIENCE = 120.0  # seconds
INTERRUPTED = ("half", "night", "again", "queued", "stopped")


@dataclass(frozen=True)
class Bench:
    """A bucket behind a proxy that can hold a request for ever, and the commands that work on it."""

    proxy: FaultyS3
    environment: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [str(Path(sys.executable).with_name("savs-submit")), *arguments, "--workspace", WORKSPACE]

    def run(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode in codes, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def kill_at(self, pattern: str, *arguments: str) -> None:
        """Runs a command, and kills it once it writes an object whose path fits `pattern`."""
        reached, over = threading.Event(), threading.Event()

        def choose(method: str, path: str) -> str | None:
            if method == "PUT" and re.search(pattern, path) and not over.is_set():
                reached.set()
                over.wait(PATIENCE)
                return "503"  # nobody reads it any more
            return None

        self.proxy.choose = choose
        process = subprocess.Popen(self.command(*arguments), env=self.environment)
        assert reached.wait(PATIENCE), f"{arguments} never wrote {pattern}"
        process.send_signal(signal.SIGKILL)
        process.wait()
        over.set()
        self.proxy.choose = lambda method, path: None


def keep(folder: Path) -> None:
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    proxy = FaultyS3(f"http://{host}:{port}")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SAVS_", "AWS_"))
    }
    environment |= {
        "SAVS_S3_ENDPOINT_URL": proxy.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    client = boto3.client(
        "s3",
        endpoint_url=proxy.url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=BUCKET)
    bench = Bench(proxy, environment)
    absent = write_data(lambda key, data: client.put_object(Bucket=BUCKET, Key=f"data/{key}", Body=data))

    make_jobs(bench, lambda: client.put_object(Bucket=BUCKET, Key=f"data/{BACK:02d}.png", Body=absent[BACK]))

    for entry in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET).search("Contents"):
        path = folder / "bucket" / entry["Key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(client.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read())
    say(bench, folder / "expected" / "before", ("strokes", "strokes-zero-shot"))
    for name in INTERRUPTED:
        bench.run("resume", name, codes=(0, 3))
    say(
        bench,
        folder / "expected" / "after",
        ("strokes", "strokes-zero-shot", "half", "night", "queued", "stopped"),
    )
    proxy.stop()
    server.stop()


def write_data(put: Callable[[str, bytes], object]) -> dict[int, bytes]:
    """Manifests, and pictures but for those of `ABSENT`, which are the answer."""
    from io import BytesIO

    from savs.demo.unseen import TASKS

    [task] = [task for task in TASKS if task.name == "stroke"]
    rng = Random(9)

    def picture(label: str) -> bytes:
        data = BytesIO()
        task.draw(label, rng)[0].save(data, "PNG")
        return data.getvalue()

    labels = [task.classes[n % len(task.classes)] for n in range(EXAMPLES)]
    for n, label in enumerate(labels):
        put(f"example-{n}.png", picture(label))
    absent = {}
    corpus = [rng.choice(task.classes) for _ in range(ROWS)]
    for n, label in enumerate(corpus):
        data = picture(label)
        if n in ABSENT:
            absent[n] = data
        else:
            put(f"{n:02d}.png", data)

    def manifest(rows: list[dict[str, str]]) -> bytes:
        return "".join(json.dumps(row) + "\n" for row in rows).encode()

    def example(n: int, question: str, label: str) -> dict[str, str]:
        return {"image": f"example-{n}.png", "question": question, "label": label}

    put("train.jsonl", manifest([example(n, task.question, label) for n, label in enumerate(labels)]))
    straight = ["straight" if label == "zigzag" else "round" for label in labels]
    put("lines.jsonl", manifest([example(n, "Is the line straight?", one) for n, one in enumerate(straight)]))
    rows = [{"image": f"{n:02d}.png", "label": label} for n, label in enumerate(corpus)]
    put("corpus.jsonl", manifest(rows))
    put("asked.jsonl", manifest([row | {"question": task.question} for row in rows]))
    return absent


def make_jobs(bench: Bench, bring_back: Callable[[], object]) -> None:
    fit = ("--model", "demo", "--heads", str(HEADS), "--shard-size", str(SHARD))
    train, lines, corpus = f"{DATA}/train.jsonl", f"{DATA}/lines.jsonl", f"{DATA}/corpus.jsonl"
    asked = f"{DATA}/asked.jsonl"
    label = ("--data", asked, "--shard-size", str(SHARD))

    bench.run("run", "--name", "strokes", "--train", train, "--data", asked, *fit, codes=(3,))
    bring_back()
    bench.run("retry", "strokes", codes=(3,))
    bench.run(
        *("classify", "--name", "strokes-zero-shot", "--zero-shot", "constrained", "--model", "demo", *label),
        codes=(3,),
    )
    bench.run("extract", "--name", "pair", "--train", train, "--train", lines, *fit)

    bench.kill_at(r"/half-\S+/commits/0000002", "classify", "--name", "half", "--artifact", "strokes", *label)
    bench.kill_at(
        r"/stopped-\S+/commits/0000001", "classify", "--name", "stopped", "--artifact", "strokes", *label
    )
    bench.run("cancel", "stopped")
    bench.kill_at(r"/again-\S+/commits/0000001", "extract", "--name", "again", "--train", train, *fit)
    # The first of the two carries the other, whose commit of the shard is there by then.
    several = (
        "--artifact",
        "pair.train",
        "--artifact",
        "pair.lines",
        "--data",
        corpus,
        "--shard-size",
        str(SHARD),
    )
    bench.kill_at(r"/night\.pair\.train-\S+/commits/0000002", "classify", "--name", "night", *several)
    with tempfile.TemporaryDirectory() as place:
        redis = RedisServer(Path(place), free_port())
        redis.start()
        bench.run("classify", "--name", "queued", "--artifact", "strokes", *label, "--broker", redis.url)
        redis.kill()


def say(bench: Bench, folder: Path, labelled: tuple[str, ...]) -> None:
    """What people and their scripts are shown."""
    folder.mkdir(parents=True)
    for name in labelled:
        (folder / f"results-{name}.jsonl").write_text(bench.run("results", name))
    names = (*labelled, "pair", "again") if "half" in labelled else (*labelled, "pair", *INTERRUPTED)
    for name in dict.fromkeys(names):
        (folder / f"status-{name}.json").write_text(bench.run("status", name, "--json"))
    (folder / "list.json").write_text(bench.run("list", "--json"))
    (folder / "logs-strokes.json").write_text(bench.run("logs", "strokes", "--json"))
    (folder / "compare.json").write_text(bench.run("compare", "strokes-zero-shot", "strokes", "--json"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    keep(parser.parse_args().folder)

"""The submitter's image, built from the Dockerfile and run with a read-only root."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.queue.board import Board
from jobs.queue.broker import Broker
from jobs.records.message import gpu_queue
from tests.deploy.builder import Builder, Image
from tests.pool.servers import CLASSES, MODEL, RedisServer, write_manifest

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def submitter() -> Iterator[Image]:
    if os.geteuid() != 0:
        pytest.fail("building an image without a container engine needs root", pytrace=False)
    folder = Path(tempfile.mkdtemp(prefix="savs-image-"))
    builder = Builder(folder)
    try:
        builder.make_base()
        yield builder.build("submitter")
    finally:
        builder.run("umount", "--all")
        shutil.rmtree(folder)


def test_the_commands_run(submitter: Image) -> None:
    program = submitter.config["Entrypoint"]
    assert program == ["savs-submit"]

    for words in (["--version"], ["--help"], ["run", "--help"]):
        done = submitter.execute([*program, *words])
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_it_is_not_root_and_writes_only_to_its_volumes(submitter: Image) -> None:
    assert submitter.config["User"] == "10001:10001"
    assert submitter.config["Volumes"].keys() == {"/cache", "/tmp"}

    script = """
import os, pathlib
print(os.getuid(), os.getgid(), os.getgroups())
print(pathlib.Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0])
for place in ("/", "/opt/savs", "/etc", "/usr/bin", "/var", "/cache", "/tmp", pathlib.Path.home()):
    try:
        (pathlib.Path(place) / "new").write_text("")
        print("written", place)
    except OSError:
        pass
"""
    done = submitter.execute(["python3", "-c", script])

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "10001 10001 []",
        "0" * 16,
        "written /cache",
        "written /tmp",
        "written /cache",
    ]


def test_its_own_files_belong_to_root(submitter: Image) -> None:
    theirs = "find / -xdev -user 10001 -not -path '/proc/*' -not -path /cache"
    script = f"{theirs}; find /opt/savs -perm /022 -not -type l"
    done = submitter.execute(["sh", "-c", script])

    assert done.stdout == ""


def test_it_has_no_model_and_nothing_that_only_builds(submitter: Image) -> None:
    done = submitter.execute(["python3", "-m", "pip", "list", "--format", "freeze"])

    found = {line.partition("==")[0].lower() for line in done.stdout.splitlines()}
    assert {"savs", "celery", "boto3"} <= found
    assert found.isdisjoint({"torch", "numpy", "transformers", "hatchling", "pytest"})
    assert submitter.execute(["test", "-e", "/etc/pip.conf"]).returncode != 0
    assert submitter.execute(["test", "-e", "/build"]).returncode != 0


def test_it_is_labelled(submitter: Image) -> None:
    labels = submitter.config["Labels"]

    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert labels["org.opencontainers.image.title"] == "savs submitter"


def test_it_submits_to_a_real_broker(submitter: Image, redis_server: RedisServer, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, rows in (("train", 12), ("corpus", 100)):
        write_manifest(str(folder / f"{name}.jsonl"), rows, lambda i: f"{CLASSES[i % 3]}-{i}")
    for path in (folder, *folder.iterdir()):
        os.chown(path, 10001, 10001)

    done = submitter.execute(
        [
            *(*submitter.config["Entrypoint"], "run", "--model", MODEL, "--name", "pets", "--plan", "here"),
            *("--train", "/mnt/train.jsonl", "--data", "/mnt/corpus.jsonl"),
        ],
        folders={folder: "/mnt"},
        environment={"SAVS_BROKER_URL": redis_server.url, "SAVS_WORKSPACE": "/mnt/workspace"},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    board = Board(Broker(redis_server.url).redis, gpu_queue(MODEL))
    assert len(board) == 1  # the examples are one shard; the corpus waits for them
    assert {path.stat().st_uid for path in (folder / "workspace").rglob("*")} == {10001}

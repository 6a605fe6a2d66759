"""What all tests share: a clean environment, pictures, tiny checkpoints, and an S3 server."""

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

# Before torch is imported: two busy test processes on two cores must not spin at each other's barriers.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TRITON_INTERPRET"] = "1"  # kernels for a GPU run on a CPU
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["SAVS_REPORT"] = "0"  # they take seconds; tests of reports ask for them

import pytest

from tests import checkpoints
from tests.faulty_s3 import FaultyS3
from tests.pool.servers import Pool, RedisServer, free_port


def scheduling() -> int | None:
    """Return the policy of this thread, such as `os.SCHED_OTHER`; None where there is none, as on macOS."""
    return os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else None


ORDINARY = scheduling()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No setting of the person who runs the tests changes what they test."""
    for name in [n for n in os.environ if n.startswith(("SAVS_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SAVS_REPORT", "0")
    monkeypatch.setenv("SAVS_RUNTIME_DIR", str(tmp_path_factory.getbasetemp() / "runtime"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def ordinary_scheduling() -> Iterator[None]:
    """No test leaves its process real-time, which would take the cores from all others."""
    yield
    assert scheduling() == ORDINARY


@pytest.fixture(scope="session")
def qwen2_5_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen2.5-VL on disk."""
    return checkpoints.save_qwen2_5_vl(tmp_path_factory.mktemp("qwen2_5_vl"))


@pytest.fixture(scope="session")
def qwen2_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen2-VL on disk."""
    return checkpoints.save_qwen2_vl(tmp_path_factory.mktemp("qwen2_vl"))


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny random checkpoint of each of `checkpoints.FAMILIES`, made when it is first asked for."""

    @cache
    def folder(name: str) -> Path:
        return checkpoints.save_family(name, tmp_path_factory.mktemp(name))

    return folder


@pytest.fixture(scope="session")
def stretched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that only fails the self-test."""
    return checkpoints.save_stretched(tmp_path_factory.mktemp("stretched"))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server that speaks the real protocol."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket, reachable with boto3's and savs' own settings."""
    from savs.storage import s3_client

    monkeypatch.setenv("SAVS_S3_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3_client.cache_clear()
    client = s3_client(s3_server)
    client.create_bucket(Bucket="corpus")
    yield "corpus"
    for entry in client.list_objects_v2(Bucket="corpus").get("Contents", []):
        client.delete_object(Bucket="corpus", Key=entry["Key"])
    client.delete_bucket(Bucket="corpus")
    s3_client.cache_clear()


@pytest.fixture
def faulty(bucket: str, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    """`bucket` behind a proxy that, for now, does nothing."""
    proxy = FaultyS3(s3_server)
    monkeypatch.setenv("SAVS_S3_ENDPOINT_URL", proxy.url)
    yield proxy
    proxy.stop()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder, free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture
def pool(redis_server: RedisServer, tmp_path: Path) -> Iterator[Pool]:
    logs = tmp_path / "logs"
    logs.mkdir()
    pool = Pool(redis_server, tmp_path / "workspace", logs)
    yield pool
    pool.stop()
    for path in sorted(logs.glob("*.log")):  # pytest shows them where the test failed
        print(f"--- {path.name}\n{path.read_text(errors='replace')}")

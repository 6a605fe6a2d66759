"""What `deploy/` says works, on a real redis-server and with real workers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from jobs.cli.doctor_checks import diagnose
from jobs.queue.board import Board
from jobs.records.message import gpu_queue
from tests.deploy.manifests import MODELS, manifest
from tests.pool.servers import MODEL, Pool, RedisServer, free_port, wait_until

# What KEDA's redis scaler does (pkg/scalers/redis_scaler.go): one script that asks for the key's type, and
# then for the length of a list, a set or a hash; a key that is missing counts as an empty list.
KEDA = """
local kind = redis.call('TYPE', KEYS[1]).ok
local counts = {hash = 'HLEN', list = 'LLEN', none = 'LLEN', set = 'SCARD', zset = 'ZCARD'}
return redis.call(counts[kind], KEYS[1])
"""

REDIS = Path(__file__).parents[2] / "deploy" / "redis"


@dataclass
class GuardedRedis(RedisServer):
    """A server with the users of deploy/redis/users.acl; `url` is the one `role` connects with."""

    role: str = "submitter"

    def options(self) -> list[str]:
        return [*super().options(), "--aclfile", str(self.folder / "users.acl")]

    @property
    def url(self) -> str:
        return self.url_of(self.role)

    def url_of(self, role: str) -> str:
        return f"redis://{role}:CHANGE-ME-{role.upper()}@127.0.0.1:{self.port}/0"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedRedis]:
    folder = tmp_path / "redis"
    folder.mkdir()
    (folder / "users.acl").write_bytes((REDIS / "users.acl").read_bytes())
    server = GuardedRedis(folder, free_port())
    server.start()
    yield server
    server.kill()


def test_each_role_can_do_its_work_and_a_job_comes_to_its_end(guarded: GuardedRedis, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    pool = Pool(guarded, tmp_path / "workspace", tmp_path / "logs")
    try:
        guarded.role = "worker"
        pool.start("cpu")
        pool.start("gpu")
        guarded.role = "submitter"

        [_, classify] = pool.submit(rows=20, shard_size=5)

        wait_until(lambda: pool.finished(classify), "the classify job has a summary")
        found = {f.what: f.state for f in diagnose(str(pool.workspace), guarded.url, MODEL, [])}
        assert set(found.values()) == {"good"}, found
        board = f"savs:outstanding:{gpu_queue(MODEL)}"
        assert Redis.from_url(guarded.url_of("scaler")).hlen(board) == 0
    finally:
        pool.stop()


@pytest.mark.parametrize("model", MODELS)
def test_keda_counts_the_shards_that_wait_or_run_of_the_models_workers(
    guarded: GuardedRedis, model: str
) -> None:
    [deployment] = manifest(f"models/{model}/worker.yaml")
    [scaled] = manifest(f"models/{model}/scaled-object.yaml")
    [_, _, alias] = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    [trigger] = scaled["spec"]["triggers"]
    scaler = Redis.from_url(guarded.url_of("scaler"))

    def demand() -> int:
        return int(scaler.eval(KEDA, 1, trigger["metadata"]["listName"]))

    assert demand() == 0  # there is no board yet
    board = Board(Redis.from_url(guarded.url_of("submitter")), gpu_queue(alias))
    list(board.enqueue("job", ["0", "1", "2"]))
    assert demand() == 3
    worker = Board(Redis.from_url(guarded.url_of("worker")), gpu_queue(alias))
    assert worker.claim("job", "0", 1) == 1
    assert demand() == 3
    worker.finish("job", "0")
    assert demand() == 2


def test_the_scaler_can_only_count(guarded: GuardedRedis) -> None:
    scaler = Redis.from_url(guarded.url_of("scaler"))

    for script in (
        "return redis.call('DEL', KEYS[1])",
        "return redis.call('HGETALL', KEYS[1])",
        "return redis.call('HLEN', 'savs:board')",
    ):
        with pytest.raises(ResponseError, match=r"can't|[Nn]o permissions"):  # Redis 6, and Valkey
            scaler.eval(script, 1, "savs:outstanding:savs.gpu.demo")


@pytest.mark.parametrize("role", ["submitter", "worker", "scaler"])
def test_no_role_can_empty_redis_or_read_what_is_not_the_pools(guarded: GuardedRedis, role: str) -> None:
    redis = Redis.from_url(guarded.url_of(role))

    for command in (
        ("FLUSHALL",),
        ("CONFIG", "SET", "dir", "/"),
        ("CONFIG", "GET", "masterauth"),
        ("CONFIG", "GET", "requirepass"),
        ("ACL", "LIST"),
        ("GET", "other"),
        ("KEYS", "*"),
    ):
        with pytest.raises(NoPermissionError):
            redis.execute_command(*command)


def test_nobody_gets_in_without_a_password(guarded: GuardedRedis) -> None:
    with pytest.raises(RedisError):
        Redis(port=guarded.port).ping()


def test_the_settings_are_ones_that_redis_knows(guarded: GuardedRedis) -> None:
    # The server of the tests is built without TLS, so that these lines are only looked up by name.
    wanted = dict(
        line.split(maxsplit=1)
        for line in (REDIS / "redis.conf").read_text().splitlines()
        if line and not line.startswith(("#", "tls-", "port"))
    )
    assert wanted == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "aclfile": "users.acl",
    }
    assert len(re.findall("CHANGE-ME", (REDIS / "users.acl").read_text())) == 3

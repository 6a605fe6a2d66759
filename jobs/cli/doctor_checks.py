"""The checks of `savs-submit doctor`: workspace, data, broker and workers."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote
from typing import Any, Literal

from jobs.ledger.ledger import Ledger
from jobs.paths import resolve_address
from jobs.queue.broker import MORE_MEMORY, Broker, ServingWorker, lanes, without_password
from jobs.queue.failed_starts import failed_starts, queues_with_failed_starts
from jobs.queue.refusals import refused_jobs
from jobs.records.message import CPU_QUEUE, gpu_queue
from jobs.shards.allowed_roots import Roots
from jobs.submit.submission import make_source
from savs.errors import SavsError, StorageError

NEARLY_FULL = 0.85  # of Redis's memory: SavsRedisMemory in deploy/monitoring/alerts.yml fires above it


@dataclass(frozen=True)
class Finding:
    """The result of one check: `wrong` stops jobs, `doubtful` may lose time or results."""

    what: str
    state: Literal["good", "doubtful", "wrong"]
    text: str


def diagnose(
    workspace: str, broker_url: str | None, model: str | None, addresses: list[str]
) -> Iterator[Finding]:
    """Checks the workspace, the broker, the workers of `model`, and whether they may read `addresses`."""
    yield from _workspace(workspace)
    for address in addresses:
        yield _address(address)
    if broker_url is None:
        yield Finding("broker", "good", "not set: jobs run in the process that submits them")
        return
    from redis.exceptions import RedisError

    broker = Broker(broker_url)
    try:
        yield from _redis(broker)
        yield from _workers(broker, workspace, model, addresses)
        if model is None:
            yield from _failed_starts_elsewhere(broker)
    except RedisError as error:
        yield Finding("broker", "wrong", f"{without_password(broker_url)} does not answer: {error}")


def _workspace(workspace: str) -> Iterator[Finding]:
    key, word = f".doctor-{uuid.uuid4().hex}", b"savs"
    try:
        ledger = Ledger(workspace)
        ledger.store.write(key, word)
        same = ledger.store.read(key) == word
        ledger.store.delete(key)
        if not same:
            yield Finding("workspace", "wrong", f"{workspace}: data read back differs from data written")
            return
        yield Finding("workspace", "good", f"{workspace}: writing, reading and deleting work")
        if ledger.conditional:
            yield Finding("conditional writes", "good", "supported: each shard has exactly one outcome")
        else:
            yield Finding(
                "conditional writes",
                "doubtful",
                "ignored by this store: if two workers run the same shard, the last commit counts",
            )
    except StorageError as error:
        yield Finding("workspace", "wrong", str(error))


def _address(address: str) -> Finding:
    try:
        make_source(address, "--data")
        return Finding("data", "good", f"{address} can be read here")
    except SavsError as error:
        return Finding("data", "wrong", str(error))


def _redis(broker: Broker) -> Iterator[Finding]:
    """The findings on Redis, from INFO: what the submitter's user may read in `deploy/redis/users.acl`."""
    about = broker.redis.info()
    yield Finding("broker", "good", f"{without_password(broker.url)} answers")
    yield _takes_writes(about)
    yield _setting(
        "appendonly",
        bool(about.get("aof_enabled")),
        "the queue survives a restart",
        "set `appendonly yes`; without it a restart of Redis empties the queue, and a cpu worker refills it",
    )
    yield _setting(
        "maxmemory-policy",
        about.get("maxmemory_policy") == "noeviction",
        "Redis never drops messages when its memory is full",
        "set `maxmemory-policy noeviction`; without it Redis drops messages when its memory is full",
    )


def _takes_writes(about: dict[str, Any]) -> Finding:
    """Whether Redis takes writes now; workers wait until it does."""
    used, most = about.get("used_memory", 0), about.get("maxmemory", 0)
    if about.get("role") == "slave":
        reason = "Redis is a read-only replica, as in a failover; use the address of the primary"
        return Finding("writes", "wrong", reason)
    if most and used >= most:
        reason = f"Redis's memory is full ({used:,} of {most:,} bytes); {MORE_MEMORY}"
        return Finding("writes", "wrong", reason)
    if most and used > NEARLY_FULL * most:
        reason = (
            f"Redis's memory is nearly full ({used:,} of {most:,} bytes), and then it takes no writes; "
            f"{MORE_MEMORY}"
        )
        return Finding("writes", "doubtful", reason)
    return Finding("writes", "good", "accepted")


def _setting(name: str, right: bool, good: str, advice: str) -> Finding:
    return Finding(name, "good", good) if right else Finding(name, "doubtful", advice)


def _workers(broker: Broker, workspace: str, model: str | None, addresses: list[str]) -> Iterator[Finding]:
    wanted = [(CPU_QUEUE, "cpu worker", "savs-worker cpu")]
    if model is not None:
        wanted.append((gpu_queue(model), f"worker for {model}", f"savs-worker gpu --model {quote(model)}"))
    for queue, what, command in wanted:
        serving = list(broker.serving(queue))
        waiting = sum(int(broker.redis.llen(lane)) for lane in lanes(queue))
        for cause in failed_starts(broker, queue):
            yield Finding(what, "wrong", cause.text)
        work = f"{len(broker.board(queue))} units outstanding, {waiting} messages waiting"
        if not serving:
            yield Finding(what, "wrong", f"none is running ({work}); start one: {command}")
            continue
        yield Finding(what, "good", f"{len(serving)} running on {_hosts(serving)} ({work})")
        for one in serving:
            if one.workspace != workspace:
                yield Finding(what, "wrong", f"{one.host}:{one.pid} has another workspace: {one.workspace}")
                continue
            known = [one.workspace, *one.roots]
            roots = Roots.of(known)
            for address in addresses:
                if not roots.allow(resolve_address(address)):
                    yield _may_not_read(what, one, address, known, queue)
        for job_id, reasons in refused_jobs(broker, queue).items():
            for worker, reason in reasons.items():
                yield Finding(what, "wrong", f"{worker} refuses {job_id}: {reason}")


def _may_not_read(what: str, one: ServingWorker, address: str, roots: list[str], queue: str) -> Finding:
    """A cpu worker plans manifests that are on S3. It reads others only for some jobs."""
    rest = f"; its roots: {', '.join(roots)}"
    if queue == CPU_QUEUE and not address.startswith("s3://"):
        why = ", which it needs for `run` and --adapt, and for the pictures of a report"
        return Finding(what, "doubtful", f"{one.host}:{one.pid} may not read {address}{why}{rest}")
    return Finding(what, "wrong", f"{one.host}:{one.pid} may not read {address}{rest}")


def _failed_starts_elsewhere(broker: Broker) -> Iterator[Finding]:
    """Workers of any model that cannot start."""
    for queue in queues_with_failed_starts(broker):
        if queue != CPU_QUEUE:
            for cause in failed_starts(broker, queue):
                yield Finding(f"workers of {queue}", "wrong", cause.text)


def _hosts(serving: list[ServingWorker]) -> str:
    return ", ".join(sorted({one.host for one in serving}))

"""The numbers of a simulated pool: those of the manifests and of savs, and assumptions about a cloud."""

import math
import random
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from jobs.queue.timeouts import Timeouts

SCALED_OBJECT = (
    Path(__file__).parents[2] / "deploy" / "kubernetes" / "models" / "qwen2.5-vl" / "scaled-object.yaml"
)
SPREAD = 0.25  # of the logarithm of a shard's work
SPOT = Timeouts(grace=25.0)  # as in the overlay `spot`
HEAVY, HEAVIER = 0.01, 3.0  # the share of shards that take longer, and how many times


@dataclass(frozen=True)
class Scaling:
    """A ScaledObject of KEDA. Times in seconds; the defaults are those of `deploy/kubernetes`.

    maximum        workers
    list_length    outstanding shards per worker
    polling        between two looks at the board; also of the HPA, whose default is the same
    cooldown       with an empty board until the last workers go
    stabilisation  a smaller number of workers must have been enough for so long
    shrink_to      share of the workers that is left after `shrink_period`, at least
    grow_by        workers more after `grow_period`, at most
    spares_busy    only idle workers are removed; Kubernetes removes any
    """

    maximum: int = 64
    list_length: int = 1
    polling: float = 15.0
    cooldown: float = 300.0
    stabilisation: float = 300.0
    shrink_to: float = 0.5
    shrink_period: float = 60.0
    grow_by: int = 8
    grow_period: float = 15.0
    spares_busy: bool = False


@dataclass(frozen=True)
class Fleet:
    """A pool and the cloud that it runs in. Times in seconds.

    node_start  from the request for a node until it takes a pod; it is paid from the request on
    pod_start   from a pod's start until its worker begins to load the model
    load        to load the model
    node_stays  paid after its pod has ended, before the node is removed; a new pod may take it
    unnoticed   until Kubernetes replaces the pod of a node that was lost without notice
    batch       of the model: a worker that is stopped returns its shard at the end of one
    spot_life   mean life of a node; None if nodes are never lost
    notice      between the notice of a loss and the loss; 0 if there is none
    latency     of a request to S3
    reads       requests in a row before a classify shard's first batch, as counted in the log of an S3 server
    writes      the same after its last batch
    reducers    commits that the reduction reads at once
    """

    scaling: Scaling = field(default_factory=Scaling)
    times: Timeouts = SPOT
    node_start: float = 120.0
    pod_start: float = 30.0
    load: float = 90.0
    node_stays: float = 60.0
    unnoticed: float = 60.0
    batch: float = 5.0
    spot_life: float | None = 1800.0
    notice: float = 30.0
    latency: float = 0.05
    reads: int = 11
    writes: int = 5
    reducers: int = 16


@dataclass(frozen=True)
class SimulatedJob:
    """When a job is enqueued, in seconds, and the seconds of work in each of its shards."""

    at: float
    work: tuple[float, ...]


@dataclass(frozen=True)
class Loss:
    """A node that is lost at a given time. Nodes are numbered from 0, in the order of their start."""

    at: float
    node: int
    notice: float = 0.0


def draw_work(shards: int, mean: float, seed: int) -> tuple[float, ...]:
    """Return the seconds of work of each shard: most are near `mean`, a few much longer; exact in sum."""
    rng = random.Random(seed)
    drawn = [
        math.exp(rng.gauss(0, SPREAD)) * (HEAVIER if rng.random() < HEAVY else 1.0) for _ in range(shards)
    ]
    share = shards * mean / sum(drawn)
    return tuple(work * share for work in drawn)


def read_scaling(path: Path = SCALED_OBJECT) -> Scaling:
    """Return the numbers of a ScaledObject, with 64 workers; the defaults if there is no such file.

    Raises KeyError if a number is missing.
    """
    if not path.exists():
        return Scaling()
    spec = yaml.safe_load(path.read_text())["spec"]
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    [up], [down] = behavior["scaleUp"]["policies"], behavior["scaleDown"]["policies"]
    return Scaling(
        list_length=int(spec["triggers"][0]["metadata"]["listLength"]),
        polling=spec["pollingInterval"],
        cooldown=spec["cooldownPeriod"],
        stabilisation=behavior["scaleDown"]["stabilizationWindowSeconds"],
        shrink_to=1 - down["value"] / 100,
        shrink_period=down["periodSeconds"],
        grow_by=up["value"],
        grow_period=up["periodSeconds"],
    )

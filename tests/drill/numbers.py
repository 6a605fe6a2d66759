"""The numbers of `deploy/kubernetes`, in the drill's seconds: one of them stands for SPEED of a pool's."""

from dataclasses import dataclass, fields, replace

from bench.fleet.settings import Fleet, Scaling, read_scaling
from jobs.plans.planner import SHARD_SECONDS
from jobs.queue.timeouts import Timeouts
from tests.deploy.manifests import manifest, pods

SPEED = 20
MODEL = "qwen2.5-vl"
COUNTS = {"maximum", "list_length", "shrink_to", "grow_by", "spares_busy"}  # the other numbers are seconds
# Of Kubernetes: the first pause before a container starts again, and the longest.
CRASH_BACKOFF = (10.0, 300.0)


@dataclass(frozen=True)
class Numbers:
    """Times in the drill's seconds.

    scaling    of the ScaledObject
    period     between SIGTERM and SIGKILL: terminationGracePeriodSeconds
    times      of the workers
    load       to load the model
    shard      of work, and in `batch`es
    unnoticed  until the pods of a node that is gone are replaced
    backoff    before a worker that has ended by itself starts again: the first, and the longest
    """

    scaling: Scaling
    period: float
    times: Timeouts
    load: float
    shard: float
    batch: float
    unnoticed: float
    backoff: tuple[float, float]


def read_numbers() -> Numbers:
    """The numbers of the overlay `on-demand`; what a cloud takes is as in the simulation (docs/sizing.md)."""
    [scaled] = manifest(f"models/{MODEL}/scaled-object.yaml")
    [pod] = pods(manifest(f"models/{MODEL}/worker.yaml"))
    [base] = manifest("base/kustomization.yaml")
    told = dict(one.split("=", 1) for one in base["configMapGenerator"][0]["literals"])
    scaling = replace(read_scaling(), maximum=scaled["spec"]["maxReplicaCount"])
    times, fleet = Timeouts(), Fleet()
    return Numbers(
        scaling=replace(
            scaling,
            **{
                one.name: getattr(scaling, one.name) / SPEED
                for one in fields(scaling)
                if one.name not in COUNTS
            },
        ),
        period=pod["spec"]["terminationGracePeriodSeconds"] / SPEED,
        times=replace(
            times,
            touch=times.touch / SPEED,
            no_life=times.no_life / SPEED,
            sweep=times.sweep / SPEED,
            grace=float(told["SAVS_GRACE_TIME"]) / SPEED,
        ),
        load=fleet.load / SPEED,
        shard=SHARD_SECONDS / SPEED,
        batch=fleet.batch / SPEED,
        unnoticed=fleet.unnoticed / SPEED,
        backoff=(CRASH_BACKOFF[0] / SPEED, CRASH_BACKOFF[1] / SPEED),
    )

"""Publishes messages: for new planning and reductions, and for units that return to the queue.

A message is published only for a field that has just become `queued`, under the field's epoch.
"""

from jobs.queue.board import BoardEntry
from jobs.queue.broker import Broker
from jobs.records.job import ClassifySpec, Job
from jobs.records.message import CPU_QUEUE, PlanJob, ReduceJob, RunShard

Sent = RunShard | PlanJob | ReduceJob


def ask_to_plan(broker: Broker, job: Job) -> None:
    """Enqueues the planning of a job, unless it is already enqueued."""
    lane = broker.free_lane(CPU_QUEUE)
    for _, at in broker.board(CPU_QUEUE).enqueue(job.job_id, ["plan"], lane):
        broker.publish(CPU_QUEUE, lane, [PlanJob(job_id=job.job_id, at=at)])


def ask_to_reduce(broker: Broker, job: Job) -> None:
    """Enqueues the job's reduction, unless it is already enqueued."""
    lane = broker.free_lane(CPU_QUEUE)
    for _, at in broker.board(CPU_QUEUE).enqueue(job.job_id, ["reduce"], lane):
        broker.publish(CPU_QUEUE, lane, [ReduceJob(job_id=job.job_id, at=at)])


def put_back(broker: Broker, queue: str, message: Sent, refund: bool = False) -> bool:
    """Returns the claimed unit of a message to the queue, if it still belongs to this worker.

    With `refund` the attempt does not count. Returns False if the unit belongs to another attempt.
    """
    claimed = BoardEntry(message.job_id, message.unit, "running", message.epoch, 1, message.at)
    answer = broker.board(queue).requeue(claimed, refund)
    if answer is None:
        return False
    epoch, at, lane = answer
    broker.publish(queue, lane, [message.model_copy(update={"epoch": epoch, "at": at})])
    return True


def put_back_lost(
    broker: Broker, queue: str, message: Sent, attempts: int, why: str, refund: bool = False
) -> bool:
    """Requeues the unit of a message whose process was lost, claimed or not; `why` is the reason.

    After `attempts` attempts the next sweep gives it up. Returns False if the unit belongs to another
    attempt.
    """
    answer = broker.board(queue).lose(message.job_id, message.unit, message.epoch, attempts, why, refund)
    if answer is None:
        return False
    epoch, at, lane = answer
    if lane is not None:
        broker.publish(queue, lane, [message.model_copy(update={"epoch": epoch, "at": at})])
    return True


def requeued(broker: Broker, queue: str, job: Job, seen: BoardEntry) -> tuple[int, Sent] | None:
    """Requeues a unit, if it is still as `seen`. Returns the lane and the message to publish, else None."""
    answer = broker.board(queue).requeue(seen)
    if answer is None:
        return None
    epoch, at, lane = answer
    if seen.unit == "plan":
        return lane, PlanJob(job_id=job.job_id, epoch=epoch, at=at)
    if seen.unit == "reduce":
        return lane, ReduceJob(job_id=job.job_id, epoch=epoch, at=at)
    return lane, shard_message(job, int(seen.unit), epoch, at)


def shard_message(job: Job, number: int, epoch: int, at: float) -> RunShard:
    """The message for one shard of `job`."""
    return RunShard(
        task="classify_shard" if isinstance(job.spec, ClassifySpec) else "extract_savs",
        job_id=job.job_id,
        shard=number,
        epoch=epoch,
        at=at,
    )

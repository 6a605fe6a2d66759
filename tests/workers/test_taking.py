"""How a worker takes messages: one at a time, and again after a lost acknowledgement."""

from pathlib import Path

from celery import Celery

from jobs.queue.broker import lanes
from tests.pool.servers import Pool, queue_length, wait_until
from workers.settings import WorkerSettings, celery_settings


def test_a_worker_that_runs_a_shard_leaves_all_others_on_the_queue(pool: Pool) -> None:
    pool.start("cpu")
    [_, classify] = pool.submit(rows=40, shard_size=8)
    pool.start("gpu", FAKE_BATCH_SECONDS="0.5")
    board = pool.broker.board(pool.queue)

    def one_runs() -> bool:
        states = [e.state for e in board.entries() if e.job_id == classify.job_id]
        return states.count("running") == 1 and queue_length(pool) == states.count("queued")

    wait_until(one_runs, "a shard runs, and the messages of all others are there")
    assert queue_length(pool) >= 1


def test_an_acknowledgement_without_redis_does_not_keep_a_worker_from_taking_the_next_message(
    pool: Pool, tmp_path: Path
) -> None:
    # given a message that was taken, and a Redis that dies before it is acknowledged
    settings = WorkerSettings(pool.redis.url, str(tmp_path), pool.queue)
    app = Celery("savs", broker=settings.broker_url, set_as_current=False)
    app.conf.update(celery_settings(settings))
    taken = []
    pool.submit(rows=8, shard_size=8)
    with app.connection_for_read() as connection:
        channel = connection.channel()
        channel.basic_qos(0, app.conf.worker_prefetch_multiplier, False)  # of one process
        with app.amqp.TaskConsumer(channel, on_message=taken.append):
            connection.drain_events(timeout=5)
            pool.redis.kill()

            # then it can be acknowledged, and the channel looks at Redis again, which is how the worker
            # sees that it is gone
            taken[0].ack()
            assert channel.qos.can_consume()
    assert taken[0].delivery_info["routing_key"] in lanes(pool.queue)

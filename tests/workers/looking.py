"""What can be seen of a worker from outside."""

from tests.workers.conftest import Pool


def waits(pool: Pool) -> bool:
    """Whether a worker has started, found Redis and now waits for a message."""
    return any(client["cmd"] == "brpop" for client in pool.broker.redis.client_list())

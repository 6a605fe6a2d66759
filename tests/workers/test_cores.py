"""Workers whose models run on the cores of one machine divide them."""

from collections.abc import Iterator

import pytest
import torch

from jobs.records.message import gpu_queue
from tests.pool.fake import load
from tests.pool.servers import Pool, wait_until
from workers.cores import Cores


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
def test_each_of_several_workers_uses_its_part_and_at_least_one_core() -> None:
    cores = Cores(load("model"))
    for workers, threads in ((2, 2), (3, 1), (9, 1), (1, 4), (0, 4), (4, 1)):
        cores.share(workers)
        assert torch.get_num_threads() == threads


@pytest.mark.usefixtures("four_threads")
def test_a_model_on_a_gpu_leaves_them_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load("model")
    monkeypatch.setattr(type(model), "device", torch.device("meta"))

    Cores(model).share(2)

    assert torch.get_num_threads() == 4


def test_the_workers_of_a_machine_find_each_other_whatever_their_models(pool: Pool) -> None:
    pool.start("cpu")
    pool.start("gpu", model="another")
    wait_until(lambda: pool.broker.workers(gpu_queue("another")), "the other worker serves")
    pool.start("gpu")

    job = pool.submit(rows=12, shard_size=6)[1]
    wait_until(lambda: pool.finished(job), "the job is done")

    assert "2 workers run on this machine's cores; this one uses 1 of 1" in pool.log(2)

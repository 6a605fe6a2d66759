"""From samples to head vectors: read ahead, run, and give each sample its vectors or its error.

Threads decode the next window (`savs.engine.windows`) while the model runs the batches of the present one
(`savs.engine.engine`). Batches depend on the requests alone, so the same requests give the same numbers,
however fast each thread was.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savs.data.media import Digest, Video, open_with_digest
from savs.data.samples import Sample
from savs.engine.batches import tokens_of
from savs.engine.engine import BatchResult, Engine, Reader, default_budget
from savs.engine.packing import Budget, pack, rows_of
from savs.engine.prompts import Prompt
from savs.engine.vectors import HeadVectors
from savs.engine.windows import Request, Window, read_ahead
from savs.errors import ItemError
from savs.model.model import Model
from savs.timings import Timings

if TYPE_CHECKING:
    from PIL.Image import Image

Hashed = Callable[[int], bool]  # says of a medium's size in bytes whether its sha256 is needed


def hash_nothing(size: int) -> bool:
    """No medium is hashed."""
    return False


@dataclass(frozen=True)
class Extraction:
    """What came of some samples.

    samples  those whose vectors were read, in order
    vectors  a row for each of them
    errors   the others: sample index → why
    digests  sample index → of its media, in order; fewer where one could not be opened
    """

    samples: tuple[Sample, ...]
    vectors: HeadVectors
    errors: dict[int, ItemError]
    digests: dict[int, tuple[Digest, ...]] = field(default_factory=dict)


def extract(
    model: Model,
    samples: Iterable[Sample],
    question: str | None = None,
    budget: Budget | None = None,
    timings: Timings | None = None,
    hashed: Hashed = hash_nothing,
) -> Extraction:
    """The head vectors of `samples`, each shown to the model once.

    question  for samples that have none of their own
    budget    what one forward pass may hold; by default what suits the device
    hashed    which media get a sha256 in their digests

    An item that cannot be read costs its own row and no other: see `Extraction.errors`.
    """
    import numpy as np

    asked: list[Sample] = list(samples)
    requests = (Request(n, sample, sample.question or question) for n, sample in enumerate(asked))
    values = np.zeros((len(asked), model.layout.width), np.float32)
    errors: dict[int, ItemError] = {}
    digests: dict[int, tuple[Digest, ...]] = {}
    for part in stream(model, requests, timings or Timings(), hashed=hashed, budget=budget):
        if part.values is not None:
            values[list(part.numbers)] = part.values.numpy()
        errors |= part.errors
        digests |= part.digests
    good = [n for n in range(len(asked)) if n not in errors]
    return Extraction(
        tuple(asked[n] for n in good),
        HeadVectors(model.layout, values[good]),
        {asked[n].index: errors[n] for n in sorted(errors)},
        {asked[n].index: digests[n] for n in sorted(digests)},
    )


def stream(
    model: Model,
    requests: Iterable[Request],
    timings: Timings,
    *,
    layers: frozenset[int] | None = None,
    read: Reader | None = None,
    hashed: Hashed = hash_nothing,
    budget: Budget | None = None,
) -> Iterator[BatchResult]:
    """What comes of `requests`, a batch at a time, in no order; every request comes once.

    layers  those whose heads are read; nothing above the last of them is run. None for all
    read    makes the values from head vectors float32 [n, width] where the model is; by default the
            vectors themselves. Where they hold NaN or infinity the request is an error
    hashed  which media get a sha256 in their digests, which come with the first part of a window
    budget  what one forward pass may hold; by default what suits the device. Halved, for the rest of
            the run, where memory does not suffice
    """
    with _preparing(model) as preparing:
        engine = Engine(model, timings, layers, read, budget or default_budget(model), preparing)
        for window in _windows(model, requests, timings, hashed):
            yield BatchResult(errors=window.errors, digests=window.digests)
            yield from engine.run(window)
        yield from engine.finish()


def read_prompts(
    model: Model, requests: Iterable[Request], timings: Timings, budget: Budget | None = None
) -> Iterator[tuple[dict[int, Prompt], dict[int, ItemError]]]:
    """The prompts of `requests`, of like length and as many as fit the budget at a time, and why others
    have none; both by request number. For who does something else with a model than read its heads."""
    held, tokens = budget or default_budget(model), tokens_of(model)
    for window in _windows(model, requests, timings, hash_nothing):
        if window.errors:
            yield {}, window.errors
        for rows in pack(rows_of(window.shown, tokens, held, share=False), held):
            yield {row.numbers[0]: Prompt(row.media, row.questions[0]) for row in rows}, {}


def _preparing(model: Model) -> AbstractContextManager[ThreadPoolExecutor | None]:
    """The thread that prepares batches ahead, where it has a core that the model does not need."""
    if model.device.type == "cpu":
        return nullcontext()
    return ThreadPoolExecutor(1, thread_name_prefix="preprocess")


def _windows(model: Model, requests: Iterable[Request], timings: Timings, hashed: Hashed) -> Iterator[Window]:
    def open_one(address: str) -> "tuple[Image | Video, Digest]":
        return open_with_digest(address, model.sampling, hashed, timings)

    return read_ahead(requests, open_one)

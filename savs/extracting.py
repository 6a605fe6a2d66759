"""From samples to head vectors: fetch and decode, preprocess, forward; errors stay with their item.

While a batch is in the model the next ones are decoded by threads. Batches are cut in the
samples' order, so the same samples always share a batch and give the same numbers.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING

from savs.errors import ItemError, NoQuestion, UnusablePrompt, UnusableVectors
from savs.media import open_media
from savs.models import Model
from savs.prompts import Batch, Prompt, preprocess
from savs.samples import Sample
from savs.vectors import HeadVectors, read_heads

if TYPE_CHECKING:
    import numpy as np

DEFAULT_BATCH = 16  # items in one forward pass
DECODERS = 2  # threads that fetch and decode media
BATCHES_AHEAD = 2  # decoded and waiting while the model runs
# What networks raise for an item that they cannot take: GLM-4.1V for a picture beside a video.
NETWORK_ERRORS = (ValueError, IndexError)


@dataclass
class Timings:
    """Seconds spent per stage. Decoding runs beside the model, so stages may add up to more than passed."""

    seconds: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began)


@dataclass(frozen=True)
class Extraction:
    """What came of some samples.

    samples  those whose vectors were read, in order
    vectors  a row for each of them
    errors   the others: sample index → why
    """

    samples: tuple[Sample, ...]
    vectors: HeadVectors
    errors: dict[int, ItemError]


def extract(
    model: Model,
    samples: Iterable[Sample],
    question: str | None = None,
    batch_size: int = DEFAULT_BATCH,
    timings: Timings | None = None,
) -> Extraction:
    """The head vectors of `samples`, each shown to the model once.

    question  for samples that have none of their own

    An item that cannot be read costs its own row and no other: see `Extraction.errors`.
    """
    import numpy as np

    parts = list(stream(model, samples, question, batch_size, timings or Timings()))
    values = [part.vectors.values for part in parts] or [np.zeros((0, model.layout.width), np.float32)]
    return Extraction(
        tuple(sample for part in parts for sample in part.samples),
        HeadVectors(model.layout, np.concatenate(values)),
        {index: error for part in parts for index, error in part.errors.items()},
    )


def stream(
    model: Model,
    samples: Iterable[Sample],
    question: str | None,
    batch_size: int,
    timings: Timings,
) -> Iterator[Extraction]:
    """As `extract`, a batch at a time in the samples' order, so that vectors need not all be kept."""
    for group in read_prompts(model, samples, question, batch_size, timings):
        yield _read(model, group, timings)


def read_prompts(
    model: Model,
    samples: Iterable[Sample],
    question: str | None,
    batch_size: int,
    timings: Timings,
) -> Iterator[list[tuple[Sample, Prompt | ItemError]]]:
    """Each sample with its prompt, or why it has none; a batch at a time in the samples' order.

    Threads fetch and decode the next batches while the caller is busy with one.
    """
    groups = _groups(samples, batch_size)
    with ThreadPoolExecutor(DECODERS, thread_name_prefix="decode") as threads:

        def start(group: Sequence[Sample]) -> list[tuple[Sample, Future[Prompt | ItemError]]]:
            return [(s, threads.submit(_show, model, s, question, timings)) for s in group]

        waiting = deque(start(group) for group in islice(groups, BATCHES_AHEAD))
        try:
            while waiting:
                group = waiting.popleft()
                waiting.extend(start(more) for more in islice(groups, 1))
                yield [(sample, ready.result()) for sample, ready in group]
        finally:
            for group in waiting:  # somebody stopped listening
                for _, ready in group:
                    ready.cancel()


def _groups(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    rest = iter(samples)
    while group := list(islice(rest, size)):
        yield group


def _show(model: Model, sample: Sample, question: str | None, timings: Timings) -> Prompt | ItemError:
    text = sample.question or question
    if text is None:
        return NoQuestion("neither the row nor an artifact has a question")
    try:
        with timings.stage("decode"):
            return Prompt(tuple(open_media(address, model.sampling) for address in sample.media), text)
    except ItemError as error:
        return error


def _read(model: Model, group: list[tuple[Sample, Prompt | ItemError]], timings: Timings) -> Extraction:
    import numpy as np

    errors = {sample.index: shown for sample, shown in group if isinstance(shown, ItemError)}
    ready = [(sample, shown) for sample, shown in group if isinstance(shown, Prompt)]
    with timings.stage("preprocess"):
        batches, refused = preprocess(model, [prompt for _, prompt in ready])
    errors |= {ready[i][0].index: error for i, error in refused.items()}
    rows: dict[int, np.ndarray] = {}
    for positions, batch in batches:
        with timings.stage("forward"):
            vectors, refused = _forward(model, [prompt for _, prompt in ready], positions, batch)
        rows |= vectors
        errors |= {ready[i][0].index: error for i, error in refused.items()}
    broken = [i for i, vector in rows.items() if not np.isfinite(vector).all()]
    for i in broken:
        del rows[i]
        errors[ready[i][0].index] = UnusableVectors(f"{model.name} answered with NaN or infinity")
    order = sorted(rows)
    values = np.stack([rows[i] for i in order]) if order else np.zeros((0, model.layout.width), np.float32)
    return Extraction(tuple(ready[i][0] for i in order), HeadVectors(model.layout, values), errors)


def _forward(
    model: Model, prompts: Sequence[Prompt], positions: Sequence[int], batch: Batch
) -> "tuple[dict[int, np.ndarray], dict[int, ItemError]]":
    """Head vectors by position. Where the network refuses the batch its prompts are read one at a time,
    and the errors are those of the culprits."""
    try:
        return dict(zip(positions, read_heads(model, batch), strict=True)), {}
    except NETWORK_ERRORS as error:
        if len(positions) == 1:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            return {}, {positions[0]: UnusablePrompt(f"the model refuses the item: {reason}")}
    rows: dict[int, np.ndarray] = {}
    errors: dict[int, ItemError] = {}
    for position in positions:
        [(_, alone)], _ = preprocess(model, [prompts[position]])
        vectors, refused = _forward(model, prompts, [position], alone)
        rows |= vectors
        errors |= refused
    return rows, errors

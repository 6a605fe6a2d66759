"""From samples to head vectors: fetch and decode, preprocess, forward; errors stay with their item.

While a batch is in the model the next ones are decoded by threads. Batches are cut in the
samples' order, so the same samples always share a batch and give the same numbers.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING

from savs.errors import ItemError, NoQuestion, UnusablePrompt, UnusableVectors
from savs.media import Digest, open_with_digest
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

# Says of a medium whether its sha256 is needed: the item's question and media, its place, its bytes.
Hashed = Callable[[str, Sequence[str], int, int], bool]


def nothing(question: str, media: Sequence[str], place: int, size: int) -> bool:
    """No medium is hashed."""
    return False


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
    digests  sample index → of its media, in order; fewer where one could not be opened
    """

    samples: tuple[Sample, ...]
    vectors: HeadVectors
    errors: dict[int, ItemError]
    digests: dict[int, tuple[Digest, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Shown:
    """What is shown of a sample, or why nothing is; and what its media are known by, as far as they
    could be opened."""

    prompt: Prompt | ItemError
    digests: tuple[Digest, ...] = ()


def extract(
    model: Model,
    samples: Iterable[Sample],
    question: str | None = None,
    batch_size: int = DEFAULT_BATCH,
    timings: Timings | None = None,
    hashed: Hashed = nothing,
) -> Extraction:
    """The head vectors of `samples`, each shown to the model once.

    question  for samples that have none of their own
    hashed    which media are hashed while they are read (see `savs.leaks.TrainingSet.may_hold`)

    An item that cannot be read costs its own row and no other: see `Extraction.errors`.
    """
    import numpy as np

    parts = list(stream(model, samples, question, batch_size, timings or Timings(), hashed))
    values = [part.vectors.values for part in parts] or [np.zeros((0, model.layout.width), np.float32)]
    return Extraction(
        tuple(sample for part in parts for sample in part.samples),
        HeadVectors(model.layout, np.concatenate(values)),
        {index: error for part in parts for index, error in part.errors.items()},
        {index: digests for part in parts for index, digests in part.digests.items()},
    )


def stream(
    model: Model,
    samples: Iterable[Sample],
    question: str | None,
    batch_size: int,
    timings: Timings,
    hashed: Hashed = nothing,
) -> Iterator[Extraction]:
    """As `extract`, a batch at a time in the samples' order, so that vectors need not all be kept."""
    for group in read_prompts(model, samples, question, batch_size, timings, hashed):
        yield _read(model, group, timings)


def read_prompts(
    model: Model,
    samples: Iterable[Sample],
    question: str | None,
    batch_size: int,
    timings: Timings,
    hashed: Hashed = nothing,
) -> Iterator[list[tuple[Sample, Shown]]]:
    """What is shown of each sample; a batch at a time in the samples' order.

    Threads fetch and decode the next batches while the caller is busy with one.
    """
    groups = _groups(samples, batch_size)
    with ThreadPoolExecutor(DECODERS, thread_name_prefix="decode") as threads:

        def start(group: Sequence[Sample]) -> list[tuple[Sample, Future[Shown]]]:
            return [(s, threads.submit(_show, model, s, question, timings, hashed)) for s in group]

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


def _show(model: Model, sample: Sample, question: str | None, timings: Timings, hashed: Hashed) -> Shown:
    text = sample.question or question
    if text is None:
        return Shown(NoQuestion("neither the row nor an artifact has a question"))
    media, digests = [], []
    try:
        with timings.stage("decode"):
            for place, address in enumerate(sample.media):
                wanted = partial(hashed, text, sample.media, place)
                medium, digest = open_with_digest(address, model.sampling, wanted)
                media.append(medium)
                digests.append(digest)
    except ItemError as error:
        return Shown(error, tuple(digests))
    return Shown(Prompt(tuple(media), text), tuple(digests))


def _read(model: Model, group: list[tuple[Sample, Shown]], timings: Timings) -> Extraction:
    import numpy as np

    errors = {s.index: shown.prompt for s, shown in group if isinstance(shown.prompt, ItemError)}
    ready = [(s, shown.prompt) for s, shown in group if isinstance(shown.prompt, Prompt)]
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
    return Extraction(
        tuple(ready[i][0] for i in order),
        HeadVectors(model.layout, values),
        errors,
        {sample.index: shown.digests for sample, shown in group},
    )


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

"""From samples to head vectors: read ahead, pack, preprocess, forward; errors stay with their item.

Three things go on at once: threads decode the next window, one thread renders and preprocesses the next
batch, and the model runs the present one. On a GPU the results of a batch are fetched while the next
one runs. What shares a batch follows from the requests alone, so the same requests give the same
numbers, however fast each thread was.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from savs.batches import Batch, build
from savs.errors import ItemError, UnusableVectors
from savs.media import Video, open_media
from savs.models import Model
from savs.packing import CPU_BUDGET, GPU_BUDGET, PIXELS_PER_TOKEN, Budget, Row, pack, rows_of
from savs.samples import Sample
from savs.timings import Timings
from savs.vectors import HeadVectors, read_vectors
from savs.windows import Request, Window, read_ahead

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


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


@dataclass(frozen=True)
class Part:
    """What came of some requests: `values` [n, …] of those with `numbers`, on the CPU; and why the
    others have none, request number → error."""

    numbers: tuple[int, ...]
    values: "torch.Tensor | None"
    errors: dict[int, ItemError]


Reader = Callable[["torch.Tensor"], "torch.Tensor"]


def extract(
    model: Model,
    samples: Iterable[Sample],
    question: str | None = None,
    budget: Budget | None = None,
    timings: Timings | None = None,
) -> Extraction:
    """The head vectors of `samples`, each shown to the model once.

    question  for samples that have none of their own
    budget    what one forward pass may hold; by default what suits the device

    An item that cannot be read costs its own row and no other: see `Extraction.errors`.
    """
    import numpy as np

    asked: list[Sample] = list(samples)
    requests = (Request(n, sample, sample.question or question) for n, sample in enumerate(asked))
    values = np.zeros((len(asked), model.layout.width), np.float32)
    errors: dict[int, ItemError] = {}
    for part in stream(model, requests, timings or Timings(), budget=budget):
        if part.values is not None:
            values[list(part.numbers)] = part.values.numpy()
        errors |= part.errors
    good = [n for n in range(len(asked)) if n not in errors]
    return Extraction(
        tuple(asked[n] for n in good),
        HeadVectors(model.layout, values[good]),
        {asked[n].index: errors[n] for n in sorted(errors)},
    )


def stream(
    model: Model,
    requests: Iterable[Request],
    timings: Timings,
    *,
    layers: frozenset[int] | None = None,
    read: Reader | None = None,
    budget: Budget | None = None,
) -> Iterator[Part]:
    """What comes of `requests`, a batch at a time, in no order; every request comes once.

    layers  those whose heads are read; nothing above the last of them is run. None for all
    read    makes the values from head vectors float32 [n, width] where the model is; by default the
            vectors themselves. Where they hold NaN or infinity the request is an error
    budget  what one forward pass may hold; by default what suits the device. Halved, for the rest of
            the run, where memory does not suffice
    """
    engine = _Engine(model, timings, layers, read, budget or default_budget(model))

    def open_one(address: str) -> "Image | Video":
        with timings.stage("decode"):
            return open_media(address, model.sampling)

    with ThreadPoolExecutor(1, thread_name_prefix="preprocess") as preparing:
        for window in read_ahead(requests, open_one):
            if window.errors:
                yield Part((), None, window.errors)
            yield from engine.run(window, preparing)
    yield from engine.finish()


def default_budget(model: Model) -> Budget:
    return GPU_BUDGET if model.device.type == "cuda" else CPU_BUDGET


class _Engine:
    """A run: the budget as it is by now, and the batch whose results are still on their way."""

    def __init__(
        self,
        model: Model,
        timings: Timings,
        layers: frozenset[int] | None,
        read: Reader | None,
        budget: Budget,
    ) -> None:
        self.model, self.timings, self.layers, self.read, self.budget = model, timings, layers, read, budget
        self.late: _Late | None = None

    def run(self, window: Window, preparing: ThreadPoolExecutor) -> Iterator[Part]:
        """Runs a window's batches, one being prepared ahead."""
        rows = rows_of(window.shown, self.tokens_of, self.budget, share=self.model.shares)
        waiting = deque(pack(rows, self.budget))
        following = self._prepare(waiting, preparing)
        while following is not None:
            batches, errors = following.result()
            following = self._prepare(waiting, preparing)
            if errors:
                yield Part((), None, errors)
            for batch in batches:
                if batch.numbers:
                    yield from self._forward(batch)

    def finish(self) -> Iterator[Part]:
        if self.late is not None:
            yield self.late.part(self.model)
            self.late = None

    def _prepare(
        self, waiting: "deque[list[Row]]", preparing: ThreadPoolExecutor
    ) -> "Future[tuple[list[Batch], dict[int, ItemError]]] | None":
        return preparing.submit(self._build, waiting.popleft()) if waiting else None

    def _build(self, rows: Sequence[Row]) -> tuple[list[Batch], dict[int, ItemError]]:
        with self.timings.stage("preprocess"):
            batches, errors = build(self.model, rows)
            if self.model.device.type == "cuda":
                batches = [replace(batch, inputs=_pinned(batch.inputs)) for batch in batches]
        return batches, errors

    def _forward(self, batch: Batch) -> Iterator[Part]:
        """Starts a batch, and answers the one before."""
        import torch

        halves: list[list[Row]] = []
        try:
            with self.timings.stage("forward"):
                late = self._start(batch)
        except torch.OutOfMemoryError:
            if len(batch.rows) == 1 and len(batch.rows[0].numbers) == 1:
                raise
            halves = _halves(batch.rows)
        yield from self.finish()
        if not halves:
            self.late = late
            return
        torch.cuda.empty_cache()
        self.budget = self.budget.half()
        for half in halves:
            batches, errors = self._build(half)
            if errors:
                yield Part((), None, errors)
            for smaller in batches:
                yield from self._forward(smaller)

    def _start(self, batch: Batch) -> "_Late":
        import torch

        self.timings.count("forwards", 1)
        self.timings.count("items", len(batch.numbers))
        self.timings.count("tokens", batch.tokens)
        self.timings.count("pixels", sum(row.pixels for row in batch.rows))
        with torch.inference_mode():
            vectors = read_vectors(self.model, batch, self.layers, self.timings)
            sound = torch.isfinite(vectors).all(dim=1)
            values = vectors if self.read is None else self.read(vectors)
            return _Late(batch.numbers, _fetched(values), _fetched(sound))

    def tokens_of(self, medium: "Image | Video") -> int:
        """A medium's tokens as the processor counts them, or an estimate where it does not say."""
        count = getattr(self.model.processor, "_get_num_multimodal_tokens", None)
        if isinstance(medium, Video):
            frames, height, width = medium.frames.shape[:3]
            if count is not None:
                try:
                    return int(count(video_sizes=[(frames, height, width)])["num_video_tokens"][0])
                except (KeyError, TypeError, AttributeError, ValueError):
                    pass  # it counts pictures only
            return int(frames * height * width / PIXELS_PER_TOKEN / 2)
        if count is not None:
            try:
                return int(count(image_sizes=[(medium.height, medium.width)])["num_image_tokens"][0])
            except (KeyError, TypeError, AttributeError, ValueError):
                pass
        return int(medium.width * medium.height / PIXELS_PER_TOKEN)


@dataclass(frozen=True)
class _Late:
    """Results that may still be on their way from the device."""

    numbers: tuple[int, ...]
    values: "tuple[torch.Tensor, torch.cuda.Event | None]"
    sound: "tuple[torch.Tensor, torch.cuda.Event | None]"

    def part(self, model: Model) -> Part:
        for _, event in (self.values, self.sound):
            if event is not None:
                event.synchronize()
        values, sound = self.values[0], self.sound[0]
        broken = UnusableVectors(f"{model.name} answered with NaN or infinity")
        errors: dict[int, ItemError] = {n: broken for n, good in zip(self.numbers, sound, strict=True) if not good}
        kept = tuple(n for n in self.numbers if n not in errors)
        return Part(kept, values[sound] if errors else values, errors)


def _fetched(values: "torch.Tensor") -> "tuple[torch.Tensor, torch.cuda.Event | None]":
    """A copy on the CPU, which is there once the event has happened."""
    import torch

    if not values.is_cuda:
        return values, None
    copy = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    copy.copy_(values, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    return copy, event


def _pinned(inputs: dict[str, object]) -> dict[str, object]:
    import torch

    return {k: v.pin_memory() if isinstance(v, torch.Tensor) else v for k, v in inputs.items()}


def _halves(rows: Sequence[Row]) -> list[list[Row]]:
    """Two halves of the rows, or of the questions of a single row."""
    if len(rows) > 1:
        middle = len(rows) // 2
        return [list(rows[:middle]), list(rows[middle:])]
    [row] = rows
    middle = len(row.numbers) // 2
    return [
        [replace(row, questions=row.questions[part], numbers=row.numbers[part])]
        for part in (slice(None, middle), slice(middle, None))
    ]

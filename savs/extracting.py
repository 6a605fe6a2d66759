"""From samples to head vectors: read ahead, pack, preprocess, forward; errors stay with their item.

Three things go on at once: threads decode the next window, one thread renders and preprocesses the next
batch, and the model runs the present one. On a GPU the results of a batch are fetched while the next
one runs. What shares a batch follows from the requests alone, so the same requests give the same
numbers, however fast each thread was.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from savs.batches import Batch, build
from savs.errors import ItemError, UnusablePrompt, UnusableVectors
from savs.media import Digest, Video, open_with_digest
from savs.models import Model
from savs.packing import CPU_BUDGET, GPU_BUDGET, PIXELS_PER_TOKEN, Budget, Row, pack, pixels, rows_of
from savs.prompts import Prompt
from savs.samples import Sample
from savs.timings import Marks, Timings
from savs.vectors import HeadVectors, read_vectors
from savs.windows import Request, Window, read_ahead

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

# What networks raise for an item that they cannot take: GLM-4.1V for a picture beside a video.
NETWORK_ERRORS = (ValueError, IndexError)

Reader = Callable[["torch.Tensor"], "torch.Tensor"]
Hashed = Callable[[int], bool]  # says of a medium's size in bytes whether its sha256 is needed


def nothing(size: int) -> bool:
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


@dataclass(frozen=True)
class Part:
    """What came of some requests.

    numbers  those of which there are values
    values   [n, …], on the CPU; None where there are none
    errors   request number → why there is none
    digests  request number → of its media, in order; fewer where one could not be opened
    """

    numbers: tuple[int, ...] = ()
    values: "torch.Tensor | None" = None
    errors: dict[int, ItemError] = field(default_factory=dict)
    digests: dict[int, tuple[Digest, ...]] = field(default_factory=dict)


def extract(
    model: Model,
    samples: Iterable[Sample],
    question: str | None = None,
    budget: Budget | None = None,
    timings: Timings | None = None,
    hashed: Hashed = nothing,
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
    hashed: Hashed = nothing,
    budget: Budget | None = None,
) -> Iterator[Part]:
    """What comes of `requests`, a batch at a time, in no order; every request comes once.

    layers  those whose heads are read; nothing above the last of them is run. None for all
    read    makes the values from head vectors float32 [n, width] where the model is; by default the
            vectors themselves. Where they hold NaN or infinity the request is an error
    hashed  which media get a sha256 in their digests, which come with the first part of a window
    budget  what one forward pass may hold; by default what suits the device. Halved, for the rest of
            the run, where memory does not suffice
    """
    engine = _Engine(model, timings, layers, read, budget or default_budget(model))
    with ThreadPoolExecutor(1, thread_name_prefix="preprocess") as preparing:
        for window in _windows(model, requests, timings, hashed):
            yield Part(errors=window.errors, digests=window.digests)
            yield from engine.run(window, preparing)
    yield from engine.finish()


def read_prompts(
    model: Model, requests: Iterable[Request], timings: Timings, budget: Budget | None = None
) -> Iterator[tuple[dict[int, Prompt], dict[int, ItemError]]]:
    """The prompts of `requests`, of like length and as many as fit the budget at a time, and why others
    have none; both by request number. For who does something else with a model than read its heads."""
    held = budget or default_budget(model)
    for window in _windows(model, requests, timings, nothing):
        if window.errors:
            yield {}, window.errors
        for rows in pack(rows_of(window.shown, tokens_of(model), held, share=False), held):
            yield {row.numbers[0]: Prompt(row.media, row.questions[0]) for row in rows}, {}


def _windows(model: Model, requests: Iterable[Request], timings: Timings, hashed: Hashed) -> Iterator[Window]:
    def open_one(address: str) -> "tuple[Image | Video, Digest]":
        return open_with_digest(address, model.sampling, hashed, timings)

    return read_ahead(requests, open_one)


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
        self.shrunk = False  # the budget is another than the one that waiting batches were packed by

    def run(self, window: Window, preparing: ThreadPoolExecutor) -> Iterator[Part]:
        """Runs a window's batches, one being prepared ahead."""
        rows = rows_of(window.shown, tokens_of(self.model), self.budget, share=self.model.shares)
        waiting = deque(pack(rows, self.budget))
        following = self._prepare(waiting, preparing)
        while following is not None:
            batches, errors = following.result()
            if self.shrunk:
                waiting = deque(pack([row for batch in waiting for row in batch], self.budget))
                self.shrunk = False
            following = self._prepare(waiting, preparing)
            if errors:
                yield Part(errors=errors)
            for batch in batches:
                if batch.numbers:
                    yield from self._forward(batch)

    def finish(self) -> Iterator[Part]:
        if self.late is not None:
            yield self.late.part(self.model, self.timings)
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
        """Starts a batch, and answers the one before. What memory or the network refuses is cut in two."""
        import torch

        refused: Exception | None = None
        try:
            with self.timings.stage("forward"):
                late = self._start(batch)
        except (torch.OutOfMemoryError, *NETWORK_ERRORS) as error:
            refused = error.with_traceback(None)  # whose frames hold what memory lacks
        yield from self.finish()
        if refused is None:
            self.late = late
            return
        if isinstance(refused, torch.OutOfMemoryError):
            torch.cuda.empty_cache()
            self.budget, self.shrunk = self.budget.half(), True
        if len(batch.numbers) == 1:
            if isinstance(refused, torch.OutOfMemoryError):
                raise refused
            reason = (str(refused).strip() or type(refused).__name__).splitlines()[0]
            yield Part(errors={batch.numbers[0]: UnusablePrompt(f"the model refuses the item: {reason}")})
            return
        for half in _halves(batch.rows):
            batches, errors = self._build(half)
            if errors:
                yield Part(errors=errors)
            for smaller in batches:
                yield from self._forward(smaller)

    def _start(self, batch: Batch) -> "_Late":
        import torch

        self.timings.count("forwards", 1)
        self.timings.count("items", len(batch.numbers))
        self.timings.count("tokens", batch.tokens)
        self.timings.count("pixels", sum(row.pixels for row in batch.rows))
        with torch.inference_mode():
            marks = Marks(self.model.device)
            vectors = read_vectors(self.model, batch, self.layers, marks)
            sound = torch.isfinite(vectors).all(dim=1)
            values = vectors if self.read is None else self.read(vectors)
            late = _Late(batch.numbers, _fetched(values), _fetched(sound), marks)
            marks.end("readout")
            return late


def tokens_of(model: Model) -> "Callable[[Image | Video], int]":
    """What counts a medium's tokens as the processor does, or estimates them where it does not say."""
    count = getattr(model.processor, "_get_num_multimodal_tokens", None)

    def tokens(medium: "Image | Video") -> int:
        if isinstance(medium, Video):
            size, kind = medium.frames.shape[:3], "video"
        else:
            size, kind = (medium.height, medium.width), "image"
        try:
            return (
                int(count(**{f"{kind}_sizes": [size]})[f"num_{kind}_tokens"][0]) if count else _guess(medium)
            )
        except (KeyError, TypeError, AttributeError, ValueError, IndexError):
            return _guess(medium)

    return tokens


def _guess(medium: "Image | Video") -> int:
    return pixels(medium) // PIXELS_PER_TOKEN


@dataclass(frozen=True)
class _Late:
    """Results that may still be on their way from the device."""

    numbers: tuple[int, ...]
    values: "tuple[torch.Tensor, torch.cuda.Event | None]"
    sound: "tuple[torch.Tensor, torch.cuda.Event | None]"
    marks: Marks

    def part(self, model: Model, timings: Timings) -> Part:
        for _, event in (self.values, self.sound):
            if event is not None:
                event.synchronize()
        self.marks.add_to(timings)
        values, sound = self.values[0], self.sound[0]
        broken = UnusableVectors(f"{model.name} answered with NaN or infinity")
        errors: dict[int, ItemError] = {
            n: broken for n, good in zip(self.numbers, sound.tolist(), strict=True) if not good
        }
        kept = tuple(n for n in self.numbers if n not in errors)
        return Part(kept, values[sound] if errors else values, errors)


def _fetched(values: "torch.Tensor") -> "tuple[torch.Tensor, torch.cuda.Event | None]":
    """A copy on the CPU, which is there once the event has happened."""
    import torch

    if not values.is_cuda:
        return values, None
    copy = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    copy.copy_(values, non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(values.device))
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

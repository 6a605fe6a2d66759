"""Runs a window's requests through the model: pack, preprocess, forward, halve batches that do not fit.

On a GPU a thread renders and preprocesses the next batch while the model runs the current one, and the
results of a batch are copied to the CPU while the next one runs. On a CPU these steps are sequential: two
computing threads would compete for cores, and every matrix product waits for its slowest thread.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from savs.data.media import Digest
from savs.engine.batches import Batch, build, tokens_of
from savs.engine.forward import read_vectors
from savs.engine.packing import CPU_BUDGET, GPU_BUDGET, Budget, PackedRow, held_by, pack, rows_of
from savs.engine.windows import Window
from savs.errors import ItemError, UnusablePrompt, UnusableVectors
from savs.model.model import Model
from savs.model.raw_pixels import RawPixels
from savs.timings import Marks, Timings

if TYPE_CHECKING:
    import torch

# Raised by networks for an item that they do not support: GLM-4.1V for an image next to a video.
NETWORK_ERRORS = (ValueError, IndexError)

Reader = Callable[["torch.Tensor"], "torch.Tensor"]
Built = tuple[list[Batch], dict[int, ItemError]]


@dataclass(frozen=True)
class BatchResult:
    """The results of some requests.

    numbers  numbers of the requests that have values
    values   [n, …], on the CPU; None if there are none
    errors   request number → the error of a request without values
    digests  request number → digests of its media, in order; fewer if one could not be opened
    """

    numbers: tuple[int, ...] = ()
    values: "torch.Tensor | None" = None
    errors: dict[int, ItemError] = field(default_factory=dict)
    digests: dict[int, tuple[Digest, ...]] = field(default_factory=dict)


def default_budget(model: Model) -> Budget:
    return GPU_BUDGET if model.device.type == "cuda" else CPU_BUDGET


class Engine:
    """The state of a run: the current budget, and the batch whose results are still being copied.

    preparing  the single thread that calls the processor, because tokenizers are not thread-safe; None
               for the caller's thread
    """

    def __init__(
        self,
        model: Model,
        timings: Timings,
        layers: frozenset[int] | None,
        read: Reader | None,
        budget: Budget,
        preparing: ThreadPoolExecutor | None,
    ) -> None:
        self.model, self.timings, self.layers, self.read, self.budget = model, timings, layers, read, budget
        self.preparing, self.tokens = preparing, tokens_of(model)
        self.late: _Late | None = None
        self.shrunk = False  # the budget has changed since the waiting batches were packed

    def run(self, window: Window) -> Iterator[BatchResult]:
        """Run a window's batches; yield the results of each once the next one has started."""
        rows = rows_of(window.shown, self.tokens, self.budget, share=self.model.shares)
        waiting = deque(pack(rows, self.budget))
        following: Future[Built] | None = None
        while waiting or following is not None:
            batches, errors = self._built(waiting.popleft()) if following is None else following.result()
            if self.shrunk:
                waiting = deque(pack([row for batch in waiting for row in batch], self.budget))
                self.shrunk = False
            following = None
            if self.preparing is not None and waiting:
                following = self.preparing.submit(self._build, waiting.popleft())
            if errors:
                yield BatchResult(errors=errors)
            for batch in batches:
                if batch.numbers:
                    yield from self._forward(batch)

    def finish(self) -> Iterator[BatchResult]:
        if self.late is not None:
            yield self.late.part(self.model, self.timings)
            self.late = None

    def _built(self, rows: Sequence[PackedRow]) -> Built:
        if self.preparing is None:
            return self._build(rows)
        return self.preparing.submit(self._build, rows).result()

    def _build(self, rows: Sequence[PackedRow]) -> Built:
        with self.timings.stage("preprocess"):
            batches, errors = build(self.model, rows)
            if self.model.device.type == "cuda":
                batches = [_pinned(batch) for batch in batches]
        return batches, errors

    def _forward(self, batch: Batch) -> Iterator[BatchResult]:
        """Start a batch and yield the results of the previous one. Halve a batch that does not fit into
        memory or that the network refuses."""
        import torch

        refused: Exception | None = None
        self._count(batch)
        try:
            with self.timings.stage("forward"), torch.inference_mode():
                marks = Marks(self.model.device)
                vectors = read_vectors(self.model, batch, self.layers, marks)
        except (torch.OutOfMemoryError, *NETWORK_ERRORS) as error:
            refused = error.with_traceback(None)  # its frames keep tensors in memory
        yield from self.finish()
        if refused is None:
            self.late = self._read(batch, vectors, marks)
            return
        if isinstance(refused, torch.OutOfMemoryError):
            torch.cuda.empty_cache()
            # Batches that were packed before the budget shrank are refused as well, and say nothing new.
            self.budget, self.shrunk = self.budget.at_most(held_by(batch.rows).half()), True
        if len(batch.numbers) == 1:
            if isinstance(refused, torch.OutOfMemoryError):
                raise refused
            reason = (str(refused).strip() or type(refused).__name__).splitlines()[0]
            yield BatchResult(
                errors={batch.numbers[0]: UnusablePrompt(f"the model refuses the item: {reason}")}
            )
            return
        for half in _halves(batch.rows):
            batches, errors = self._built(half)
            if errors:
                yield BatchResult(errors=errors)
            for smaller in batches:
                yield from self._forward(smaller)

    def _count(self, batch: Batch) -> None:
        self.timings.count("forwards", 1)
        self.timings.count("items", len(batch.numbers))
        self.timings.count("tokens", batch.tokens)
        self.timings.count("pixels", sum(row.pixels for row in batch.rows))

    def _read(self, batch: Batch, vectors: "torch.Tensor", marks: Marks) -> "_Late":
        """Start the readout of the vectors and the copy of its results to the CPU."""
        import torch

        with torch.inference_mode():
            sound = torch.isfinite(vectors).all(dim=1)
            values = vectors if self.read is None else self.read(vectors)
            late = _Late(batch.numbers, _fetched(values), _fetched(sound), marks)
        marks.end("readout")
        return late


@dataclass(frozen=True)
class _Late:
    """Results that may still be in transfer from the device."""

    numbers: tuple[int, ...]
    values: "tuple[torch.Tensor, torch.cuda.Event | None]"
    sound: "tuple[torch.Tensor, torch.cuda.Event | None]"
    marks: Marks

    def part(self, model: Model, timings: Timings) -> BatchResult:
        for _, event in (self.values, self.sound):
            if event is not None:
                event.synchronize()
        self.marks.add_to(timings)
        values, sound = self.values[0], self.sound[0]
        broken = UnusableVectors(f"{model.name} returned NaN or infinity")
        errors: dict[int, ItemError] = {
            n: broken for n, good in zip(self.numbers, sound.tolist(), strict=True) if not good
        }
        kept = tuple(n for n in self.numbers if n not in errors)
        return BatchResult(kept, values[sound] if errors else values, errors)


def _fetched(values: "torch.Tensor") -> "tuple[torch.Tensor, torch.cuda.Event | None]":
    """Return a copy on the CPU, which is complete once the event has occurred."""
    import torch

    if not values.is_cuda:
        return values, None
    copy = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    copy.copy_(values, non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(values.device))
    return copy, event


def _pinned(batch: Batch) -> Batch:
    """Return the batch in memory from which a GPU copies without waiting."""
    import torch

    def pinned(value: Any) -> Any:
        if isinstance(value, RawPixels):
            return value.pin_memory()
        # Contiguous, because positions of rows that are alike are one row, expanded: memory for each of them.
        return value.contiguous().pin_memory() if isinstance(value, torch.Tensor) else value

    inputs = {name: pinned(value) for name, value in batch.inputs.items()}
    return replace(batch, inputs=inputs, branches=batch.branches and batch.branches.pinned())


def _halves(rows: Sequence[PackedRow]) -> list[list[PackedRow]]:
    """Return two halves of the rows, or of the questions of a single row."""
    if len(rows) > 1:
        middle = len(rows) // 2
        return [list(rows[:middle]), list(rows[middle:])]
    [row] = rows
    middle = len(row.numbers) // 2
    return [
        [replace(row, questions=row.questions[part], numbers=row.numbers[part])]
        for part in (slice(None, middle), slice(middle, None))
    ]

"""Extracts head vectors from samples: reads ahead, runs the model, returns vectors or an error per sample.

Threads decode the next window (`savs.engine.windows`) while the model runs the batches of the current one
(`savs.engine.engine`). Batches depend only on the requests, so the same requests give the same values,
regardless of thread timing.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savs.data.items import Item, Items, numbered, open_items, without_pixels
from savs.data.media import Digest, open_with_digest
from savs.data.samples import Sample
from savs.data.space import Reserve, max_item_bytes
from savs.data.video.decoder_pool import DECODERS
from savs.data.video.sampling import Video
from savs.engine.batches import tokens_of
from savs.engine.engine import BatchResult, Engine, Reader, default_budget
from savs.engine.packing import Budget, pack, rows_of
from savs.engine.progress import counting
from savs.engine.prompts import Prompt
from savs.engine.vectors import HeadVectors
from savs.engine.windows import FIRST_REQUESTS, WINDOW_REQUESTS, Request, Window, read_ahead
from savs.errors import ItemError, WrongType, WrongValue
from savs.model.model import Model
from savs.timings import Timings

if TYPE_CHECKING:
    from PIL.Image import Image

Hashed = Callable[[int], bool]  # whether a media file of this size in bytes needs its sha256


def hash_nothing(size: int) -> bool:
    """Return False: no media file is hashed."""
    return False


@dataclass(frozen=True)
class Extraction:
    """The results of some samples.

    samples  the samples whose vectors were read, in order
    vectors  a row for each of them
    errors   sample index → the error of a sample without vectors
    digests  sample index → digests of its media, in order; fewer if one could not be opened
    asked    all samples, in the order in which `extract` was given them: also those with an error

    An index is the sample's own if all samples have one and no two are the same; else its place in the
    list that `extract` was given, from 0. The images in memory that a generator yields are not kept.
    """

    samples: tuple[Sample, ...]
    vectors: HeadVectors
    errors: dict[int, ItemError]
    digests: dict[int, tuple[Digest, ...]] = field(default_factory=dict)
    asked: tuple[Sample, ...] = ()

    def __repr__(self) -> str:
        samples, errors = len(self.samples), len(self.errors)
        return f"Extraction(samples: {samples}, errors: {errors}, {self.vectors.layout.counts})"


def extract(
    model: Model,
    samples: Iterable[Item],
    question: str | None = None,
    budget: Budget | None = None,
    timings: Timings | None = None,
    hashed: Hashed = hash_nothing,
    progress: bool | None = None,
) -> Extraction:
    """Return the head vectors of `samples`. Each sample is shown to the model once.

    samples   Samples; or paths, PIL images, arrays uint8 [height, width, 3] or [height, width], and
              mappings such as {"image": "a.jpg", "question": "What is it?", "label": "cat"}. A list of them,
              a generator, or a table with such columns: a DataFrame of pandas or polars, or one of Arrow
    question  for samples without a question of their own
    budget    limit of one forward pass; by default the one for the device
    hashed    which media get a sha256 in their digests
    progress  whether a progress bar is shown; by default in a notebook and on a terminal

    A generator is read about a thousand items ahead of the model, fewer if they are large, and its images are
    freed once they were read.

    An item that cannot be read, or that has no question, fails only its own row: see `Extraction.errors`.
    Raises SettingsError, which is also a TypeError or a ValueError, before the model runs: if an argument or
    an item of a list is something else, or if no item of a list or table has a question.
    """
    import numpy as np

    _check(model, question, budget)
    items = open_items(samples)
    asking = _Asking(items, question)
    parts: list[tuple[list[int], np.ndarray]] = []
    errors: dict[int, ItemError] = {}
    digests: dict[int, tuple[Digest, ...]] = {}
    with counting(items.count, progress) as count:
        for part in stream(model, asking.requests(), timings or Timings(), hashed=hashed, budget=budget):
            if part.values is not None:
                parts.append((list(part.numbers), part.values.numpy()))
            errors |= part.errors
            digests |= part.digests
            count(len(part.numbers) + len(part.errors))
    errors |= asking.refused
    asked = numbered(asking.asked)
    values = np.zeros((len(asked), model.layout.width), np.float32)
    while parts:  # so that all vectors are in memory once, not twice
        numbers, some = parts.pop()
        values[numbers] = some
    good = [n for n in range(len(asked)) if n not in errors]
    return Extraction(
        tuple(asked[n] for n in good),
        HeadVectors(model.layout, values[good] if errors else values),
        {asked[n].index: errors[n] for n in sorted(errors)},
        {asked[n].index: digests[n] for n in sorted(digests)},
        tuple(asked),
    )


def _check(model: object, question: object, budget: object) -> None:
    if not isinstance(model, Model):
        raise WrongType(f"model is of type {type(model).__name__}; pass what load_model returned")
    if question is not None and not (isinstance(question, str) and question.strip()):
        kind = WrongValue if isinstance(question, str) else WrongType
        raise kind(f"question is {question!r}; pass text that is not blank, or None")
    if budget is not None and not isinstance(budget, Budget):
        raise WrongType(f"budget is of type {type(budget).__name__}; pass a Budget, or None")


class _Asking:
    """The requests about items, and what is known of those that were reached.

    asked    their samples, not numbered yet
    refused  place → the error of an item that is no sample
    """

    def __init__(self, items: Items, question: str | None) -> None:
        self.items, self.question = items, question
        self.asked: list[Sample] = []
        self.refused: dict[int, ItemError] = {}
        if items.whole and question is None and not any(sample.question for sample in items.whole):
            raise WrongValue("no item has a question; pass one for all, question='What is in the image?'")

    def requests(self) -> Iterator[Request]:
        for place, (sample, reason) in enumerate(self.items.samples):
            self.asked.append(sample if self.items.whole is not None else without_pixels(sample))
            if reason is not None:
                self.refused[place] = reason
            else:
                yield Request(place, sample, sample.question or self.question)


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
    """Yield the results of `requests`, a batch at a time, in no particular order; each request once.

    layers  the layers whose heads are read; layers above the last of them are not run. None for all
    read    computes the values from head vectors float32 [n, width] on the model's device; by default
            the vectors themselves. A request whose vectors contain NaN or infinity fails
    hashed  which media get a sha256 in their digests, which are in the first result of a window
    budget  limit of one forward pass; by default the one for the device. If memory does not suffice, half
            of what the refused batch held, for the rest of the run
    """
    with _preparing(model) as preparing:
        engine = Engine(model, timings, layers, read, budget or default_budget(model), preparing)
        for window in _windows(model, requests, timings, hashed):
            yield BatchResult(errors=window.errors, digests=window.digests)
            yield from engine.run(window)
        yield from engine.finish()


def read_prompts(
    model: Model, requests: Iterable[Request], timings: Timings, budget: Budget | None = None
) -> Iterator[tuple[dict[int, Prompt], dict[int, ItemError], dict[int, tuple[Digest, ...]]]]:
    """Yield the prompts of `requests`, grouped by similar length to fit the budget, the errors of requests
    without a prompt, and the digests of media; all by request number. For callers that do not read heads."""
    held, tokens = budget or default_budget(model), tokens_of(model)
    for window in _windows(model, requests, timings, hash_nothing):
        yield {}, window.errors, window.digests
        for rows in pack(rows_of(window.shown, tokens, held, share=False), held):
            yield {row.numbers[0]: Prompt(row.media, row.questions[0]) for row in rows}, {}, {}


def _preparing(model: Model) -> AbstractContextManager[ThreadPoolExecutor | None]:
    """Return the thread that prepares batches ahead, or None on a CPU, where the model needs all cores."""
    if model.device.type == "cpu":
        return nullcontext()
    return ThreadPoolExecutor(1, thread_name_prefix="preprocess")


def _windows(model: Model, requests: Iterable[Request], timings: Timings, hashed: Hashed) -> Iterator[Window]:
    def open_one(address: str, reserve: Reserve) -> "tuple[Image | Video, Digest]":
        return open_with_digest(address, model.sampling, hashed, timings, reserve)

    # A CPU has nothing to gain: it does not run while the next window is decoded.
    first = WINDOW_REQUESTS if model.device.type == "cpu" else FIRST_REQUESTS
    return read_ahead(requests, open_one, item_bytes=max_item_bytes(), abandon=DECODERS.abandon, first=first)

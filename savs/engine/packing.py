"""Packs a window's requests into rows, and rows into batches that fit a budget of tokens and pixels.

A row holds some media and a question; or, if the model allows it (`savs.engine.sharing`), some media and
all questions about them. Rows of similar length share a batch, which keeps padding low. Which rows share a
batch depends only on the window.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from savs.data.video.sampling import Video
from savs.engine.windows import OpenedRequest

if TYPE_CHECKING:
    from PIL.Image import Image

CHARACTERS_PER_TOKEN = 3.0  # lower bound for a question, whose tokens are estimated before tokenization
TEMPLATE_TOKENS = 12  # of a chat template
PIXELS_PER_TOKEN = 28 * 28  # Qwen2-VL's, if the processor cannot count tokens
MAX_QUESTIONS = 64  # in one row


@dataclass(frozen=True)
class Budget:
    """Limits of one forward pass, padding included. A single row may exceed them.

    tokens  rows times the longest row's tokens
    pixels  of all media, as opened
    """

    tokens: int
    pixels: int

    def half(self) -> "Budget":
        return Budget(max(1, self.tokens // 2), max(1, self.pixels // 2))

    def at_most(self, other: "Budget") -> "Budget":
        """The smaller of both limits."""
        return Budget(min(self.tokens, other.tokens), min(self.pixels, other.pixels))


CPU_BUDGET = Budget(tokens=4096, pixels=8_000_000)
GPU_BUDGET = Budget(tokens=32_768, pixels=64_000_000)


@dataclass(frozen=True)
class PackedRow:
    """Media and the questions about them; `numbers` are the request numbers of the questions.

    tokens  estimate for the media and all questions
    """

    media: "tuple[Image | Video, ...]"
    questions: tuple[str, ...]
    numbers: tuple[int, ...]
    tokens: int

    @property
    def pixels(self) -> int:
        return sum(pixels(one) for one in self.media)


def held_by(rows: Sequence[PackedRow]) -> Budget:
    """The smallest budget in which the rows are one batch, by their estimates."""
    return Budget(len(rows) * max(row.tokens for row in rows), sum(row.pixels for row in rows))


TokensOf = Callable[[Sequence["Image | Video"]], list[int]]


def rows_of(
    shown: Sequence[OpenedRequest], tokens_of: TokensOf, budget: Budget, *, share: bool
) -> list[PackedRow]:
    """Return the window's rows, in order of their first request.

    tokens_of  estimates the tokens of images and videos
    share      whether requests with the same media share a row, as far as the budget allows
    """
    groups: dict[tuple[int, ...], list[OpenedRequest]] = {}
    for one in shown:
        alone = not share or not one.media
        key = (-1 - one.request.number,) if alone else tuple(map(id, one.media))
        groups.setdefault(key, []).append(one)
    counts = iter(tokens_of([medium for group in groups.values() for medium in group[0].media]))
    rows = []
    for group in groups.values():
        shared = TEMPLATE_TOKENS + sum(islice(counts, len(group[0].media)))
        part: list[OpenedRequest] = []
        tokens = shared
        for one in group:
            own = int(len(one.question) / CHARACTERS_PER_TOKEN) + TEMPLATE_TOKENS
            if part and (len(part) == MAX_QUESTIONS or tokens + own > budget.tokens):
                rows.append(_row(part, tokens))
                part, tokens = [], shared
            part.append(one)
            tokens += own
        rows.append(_row(part, tokens))
    return rows


def _row(part: list[OpenedRequest], tokens: int) -> PackedRow:
    questions = tuple(one.question for one in part)
    return PackedRow(part[0].media, questions, tuple(one.request.number for one in part), tokens)


def pack(rows: Sequence[PackedRow], budget: Budget) -> list[list[PackedRow]]:
    """Return as few batches of rows as the budget allows, of similar size, and the longest rows first, so
    that a lack of memory shows at once."""
    fewest = _pack(rows, budget)
    average = sum(row.tokens for row in rows) // max(1, len(fewest))
    level = replace(budget, tokens=min(budget.tokens, average))
    while len(even := _pack(rows, level)) > len(fewest):
        level = replace(level, tokens=min(budget.tokens, level.tokens + level.tokens // 16 + 1))
    return even


def _pack(rows: Sequence[PackedRow], budget: Budget) -> list[list[PackedRow]]:
    batches: list[list[PackedRow]] = []
    width = seen = 0
    for row in sorted(rows, key=lambda row: -row.tokens):
        full = not batches or (len(batches[-1]) + 1) * width > budget.tokens
        if full or seen + row.pixels > budget.pixels:
            batches.append([])
            width, seen = row.tokens, 0
        batches[-1].append(row)
        seen += row.pixels
    return batches


def pixels(medium: "Image | Video") -> int:
    """Return the pixels of an image, or of all sampled frames of a video."""
    if isinstance(medium, Video):
        frames, height, width = medium.frames.shape[:3]
        return int(frames * height * width)
    return medium.width * medium.height

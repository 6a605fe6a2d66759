"""Packs a window's requests into rows, and rows into batches that fit a budget of tokens and pixels.

A row is what the model sees at once: some media and a question; or, where the model allows it
(`savs.engine.sharing`), some media and all questions about them. Rows of like length share a batch, so that
little of it is padding. Which rows share a batch follows from the window alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from savs.data.media import Video
from savs.engine.windows import OpenedRequest

if TYPE_CHECKING:
    from PIL.Image import Image

CHARACTERS_PER_TOKEN = 3.0  # of a question, at least: an estimate is made before anything is tokenized
TEMPLATE_TOKENS = 12  # of a chat template
PIXELS_PER_TOKEN = 28 * 28  # Qwen2-VL's, where the processor does not say
MAX_QUESTIONS = 64  # in one row


@dataclass(frozen=True)
class Budget:
    """What one forward pass may hold, padding included. One row is always let through.

    tokens  rows times the longest row's tokens
    pixels  of all media, as they were opened
    """

    tokens: int
    pixels: int

    def half(self) -> "Budget":
        return Budget(max(1, self.tokens // 2), max(1, self.pixels // 2))


CPU_BUDGET = Budget(tokens=4096, pixels=8_000_000)
GPU_BUDGET = Budget(tokens=32_768, pixels=64_000_000)


@dataclass(frozen=True)
class PackedRow:
    """Media and the questions that are asked about them; `numbers` are the requests'.

    tokens  estimated, of media and all questions
    """

    media: "tuple[Image | Video, ...]"
    questions: tuple[str, ...]
    numbers: tuple[int, ...]
    tokens: int

    @property
    def pixels(self) -> int:
        return sum(pixels(one) for one in self.media)


TokensOf = Callable[["Image | Video"], int]


def rows_of(
    shown: Sequence[OpenedRequest], tokens_of: TokensOf, budget: Budget, *, share: bool
) -> list[PackedRow]:
    """The window's rows, in order of their first request.

    tokens_of  estimates a medium's tokens
    share      whether requests that show the same media go into one row, as far as the budget allows
    """
    groups: dict[tuple[int, ...], list[OpenedRequest]] = {}
    for one in shown:
        alone = not share or not one.media
        key = (-1 - one.request.number,) if alone else tuple(map(id, one.media))
        groups.setdefault(key, []).append(one)
    rows = []
    for group in groups.values():
        media = group[0].media
        shared = TEMPLATE_TOKENS + sum(map(tokens_of, media))
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
    """Batches of rows, the longest first, so that what does not fit into memory shows at once; as few as
    the budget allows, and of like size."""
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
    """Of a picture, or of all frames of a video that are shown."""
    if isinstance(medium, Video):
        frames, height, width = medium.frames.shape[:3]
        return int(frames * height * width)
    return medium.width * medium.height

"""Training batches: rows of many independent questions about the same media.

A row is `prefix | question answer | question answer | …`. Every question attends only to the prefix and
to itself, at the positions it would have alone, so a row is equivalent to as many single prompts, but
encodes the image once. Images, pairs and videos have rows of equal length, which keeps every shape static.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedTokenizerFast

from savs.demo import questions
from savs.demo.architecture import ASSISTANT, END, IMAGE, USER, VIDEO, VISION_END, VISION_START
from savs.demo.questions import Turn
from savs.demo.scenes import CLIP_FRAMES, MOTIONS, SIDE, draw_clip, draw_scene, random_scene

ROW_TOKENS = 128  # tokens of a row, prefix included
ANSWERS_PER_ROW = 16  # at most; the rest of the row is empty
GRID = SIDE // 28  # merged visual tokens in each direction
KINDS = ("picture", "pair", "clip")
TASKS = (*questions.ANSWERS, "open")


@dataclass(frozen=True)
class Packed:
    """One training batch of R rows, N frame pairs in total and up to A answers per row.

    frames     uint8 [N, 2, SIDE, SIDE, 3]: two equal frames for an image
    tokens     int64 [R, ROW_TOKENS]
    positions  int64 [3, R, ROW_TOKENS]: time, height, width
    segments   int64 [R, ROW_TOKENS]: 0 prefix, 1… questions, -1 empty
    predicts   int64 [R, A, 2]: positions that predict an answer token and the end token (0: none)
    targets    int64 [R, A, 2]: those tokens, -100 if there is none
    tasks      int64 [R, A]: index into TASKS, -1 if there is none
    """

    frames: torch.Tensor
    tokens: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    predicts: torch.Tensor
    targets: torch.Tensor
    tasks: torch.Tensor


@dataclass(frozen=True)
class Prefix:
    """The tokens before any question, for one kind of media, and their positions."""

    tokens: list[int]
    positions: np.ndarray  # int64 [3, len(tokens)]
    after: int  # the position of the first token of a question


def make_prefix(kind: str, tokenizer: PreTrainedTokenizerFast) -> Prefix:
    """Return `<|user|>` and the placeholders at Qwen2.5-VL's positions (see get_rope_index in
    transformers' modeling_qwen2_5_vl)."""
    start, end = tokenizer.convert_tokens_to_ids([VISION_START, VISION_END])
    pad = tokenizer.convert_tokens_to_ids(VIDEO if kind == "clip" else IMAGE)
    grids = {"picture": [1], "pair": [1, 1], "clip": [CLIP_FRAMES // 2]}[kind]
    tokens, positions, at = [tokenizer.convert_tokens_to_ids(USER)], [np.zeros((3, 1), int)], 1
    for times in grids:
        tokens += [start, *[pad] * (times * GRID * GRID), end]
        grid = np.stack(np.meshgrid(*map(np.arange, (times, GRID, GRID)), indexing="ij"))
        last = at + 1 + GRID  # time does not count
        positions += [np.full((3, 1), at), grid.reshape(3, -1) + at + 1, np.full((3, 1), last)]
        at = last + 1
    return Prefix(tokens, np.concatenate(positions, axis=1), at)


class Packer:
    """Draws rows of all kinds without end: each call of `batch()` returns new scenes."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, rows: dict[str, int], seed: int) -> None:
        self.rng = random.Random(seed)
        self.rows = rows
        self.tokenizer = tokenizer
        self.prefixes = {kind: make_prefix(kind, tokenizer) for kind in KINDS}
        self.assistant, self.end = tokenizer.convert_tokens_to_ids([ASSISTANT, END])
        self.encoded: dict[str, list[int]] = {}

    def batch(self) -> Packed:
        drawn = [self._draw(kind) for kind in KINDS for _ in range(self.rows[kind])]
        rows = [self._row(self.prefixes[kind], turns) for kind, _, turns in drawn]
        frames = [np.asarray(picture) for _, pictures, _ in drawn for picture in pictures]
        tokens, positions, segments, predicts, targets, tasks = zip(*rows, strict=True)
        return Packed(
            frames=torch.from_numpy(np.stack(frames)).reshape(-1, 2, SIDE, SIDE, 3),
            tokens=torch.from_numpy(np.stack(tokens)),
            positions=torch.from_numpy(np.stack(positions, axis=1)),
            segments=torch.from_numpy(np.stack(segments)),
            predicts=torch.from_numpy(np.stack(predicts)),
            targets=torch.from_numpy(np.stack(targets)),
            tasks=torch.from_numpy(np.stack(tasks)),
        )

    def _draw(self, kind: str) -> tuple[str, list[Image.Image], Iterator[Turn]]:
        rng = self.rng
        scene = random_scene(rng)
        if kind == "picture":
            return kind, [draw_scene(scene, rng)] * 2, questions.picture_turns(scene, rng)
        if kind == "pair":
            other = questions.matching_scene(scene, rng)
            pictures = [draw_scene(scene, rng)] * 2 + [draw_scene(other, rng)] * 2
            return kind, pictures, questions.pair_turns(scene, other, rng)
        motion = rng.choice(MOTIONS)
        scene = replace(scene, count=1)
        return kind, draw_clip(scene, motion, rng), questions.clip_turns(scene, motion, rng)

    def _row(self, prefix: Prefix, turns: Iterator[Turn]) -> tuple[np.ndarray, ...]:
        tokens = np.zeros(ROW_TOKENS, np.int64)
        positions = np.zeros((3, ROW_TOKENS), np.int64)
        segments = np.full(ROW_TOKENS, -1, np.int64)
        predicts = np.zeros((ANSWERS_PER_ROW, 2), np.int64)
        targets = np.full((ANSWERS_PER_ROW, 2), -100, np.int64)
        tasks = np.full(ANSWERS_PER_ROW, -1, np.int64)
        at = len(prefix.tokens)
        tokens[:at], positions[:, :at], segments[:at] = prefix.tokens, prefix.positions, 0
        for number, turn in zip(range(ANSWERS_PER_ROW), turns, strict=False):
            [answer] = self._encode(turn.answer)  # every taught answer is one token
            piece = [*self._encode(turn.question), self.assistant, answer]
            stop = at + len(piece)
            if stop > ROW_TOKENS:
                break
            tokens[at:stop], segments[at:stop] = piece, number + 1
            positions[:, at:stop] = prefix.after + np.arange(len(piece))
            predicts[number] = stop - 2, stop - 1
            targets[number] = answer, self.end
            tasks[number] = TASKS.index(turn.task)
            at = stop
        return tokens, positions, segments, predicts, targets, tasks

    def _encode(self, text: str) -> list[int]:
        if text not in self.encoded:
            self.encoded[text] = self.tokenizer.encode(text)
        return self.encoded[text]


def visible(segments: torch.Tensor) -> torch.Tensor:
    """Return bool [R, 1, T, T]: a token sees itself, and earlier tokens of the prefix and of its question."""
    time = torch.arange(segments.shape[1], device=segments.device)
    earlier = time[:, None] >= time[None, :]
    prefix = (segments == 0)[:, None, :]
    same = segments[:, :, None] == segments[:, None, :]
    return (((prefix | same) & earlier) | torch.eye(len(time), dtype=torch.bool, device=segments.device))[
        :, None
    ]

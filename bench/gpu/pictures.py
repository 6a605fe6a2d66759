"""Draws the pictures: scenes that need no resizing, and noisy ones as large as those of a camera's
thumbnail."""

import random
import shutil
from pathlib import Path

import numpy as np

from bench.engine import workloads
from savs.data.samples import Sample

DIFFERENT = (
    64  # pictures that are drawn; others are copies of them, since drawing takes longer than labelling
)
NOISY = (500, 375)  # pixels, of every other picture if the others have 448 × 448
NOISE = 25  # standard deviation, of 255
QUALITY = 90
SEED = 2357


def pictures(folder: Path, count: int, side: int) -> list[Sample]:
    """Return samples of `count` JPEG files in `folder`, a label for each content. Every other one is noisy
    and has another size, which the processor resizes."""
    question = workloads.questions()[0]
    rows = []
    for number in range(count):
        drawn = number % DIFFERENT
        path = folder / f"{side}-{number:05d}.jpg"
        if number >= DIFFERENT:
            shutil.copyfile(folder / f"{side}-{drawn:05d}.jpg", path)
        elif not path.exists():
            _draw(path, drawn, side)
        label = f"class {drawn // 2 % workloads.CLASSES}"
        rows.append(Sample(number, str(number), (str(path),), question, label))
    return rows


def _draw(path: Path, number: int, side: int) -> None:
    from PIL import Image

    from savs.demo.scenes import draw_scene, random_scene

    rng = random.Random(f"{SEED} {number}")
    tint = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)][number // 2 % workloads.CLASSES]
    size = (side, side) if number % 2 == 0 else (NOISY[0] * side // 448, NOISY[1] * side // 448)
    scene = draw_scene(random_scene(rng), rng).resize(size)
    scene = Image.blend(scene, Image.new("RGB", size, tint), 0.35)
    if number % 2:
        noise = np.random.default_rng(number).normal(0, NOISE, (size[1], size[0], 3))
        scene = Image.fromarray((np.asarray(scene) + noise).clip(0, 255).astype(np.uint8))
    scene.save(path, quality=QUALITY)

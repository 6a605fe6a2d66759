"""Eight tasks that the demo model is never taught, fixed before its first training.

They measure the purpose of `savs`: labels that the model has no words for, learnt from twenty examples per
class. No class name or question of this file occurs in `questions`, and its content (these patterns,
figures, tints, layouts, strokes and movements) never occurs in training images.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from savs.demo import scenes
from savs.demo.scenes import OVERSAMPLING, SIDE, Colour, Path, Point, disc, polygon

Media = list[Image.Image]  # one image, or the frames of a video


@dataclass(frozen=True)
class UnseenTask:
    """A task. `draw(class_name, rng)` returns a list of one image, or a video's frames if `clip`."""

    name: str
    question: str
    classes: tuple[str, ...]
    draw: Callable[[str, random.Random], Media]
    clip: bool = False


def _checkered(rng: random.Random) -> np.ndarray:
    x, y = scenes.grid()
    period, a, b = rng.uniform(3.4, 4.4), rng.uniform(0, 9), rng.uniform(0, 9)
    return np.equal(((x + a) // period + (y + b) // period) % 2, 0)


def _hatched(rng: random.Random) -> np.ndarray:
    x, y = scenes.grid()
    period = rng.uniform(5.5, 7.5)
    marks: np.ndarray = np.less((x + y + rng.uniform(0, 9)) % period, period * 0.4)
    return marks


def _split(rng: random.Random) -> np.ndarray:
    x, y = scenes.grid()
    marks: np.ndarray = np.less((x + 0 * y + rng.uniform(0, 14)) % 14, 7)
    return marks


PATTERNS = {"checkered": _checkered, "hatched": _hatched, "split": _split}


def _draw_pattern(name: str, rng: random.Random) -> Media:
    scene = replace(scenes.random_scene(rng), texture="plain", size="large", count=rng.randint(1, 3))
    radius = rng.uniform(*scenes.SIZES["large"])
    centres = scenes.place(scene.count, scene.position, radius, rng)
    canvas = scenes.background(rng)
    rgb = np.asarray(scenes.COLOURS[scene.colour], np.float32)
    pixels = np.where(PATTERNS[name](rng)[:, :, None], rgb * 0.4, rgb).astype(np.uint8)
    canvas.paste(Image.fromarray(pixels), mask=scenes.shape_mask(scene.shape, centres, radius, rng))
    return [scenes.finish(canvas)]


def _crescent(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, angle: float) -> None:
    disc(pen, x, y, r)
    disc(pen, x + r * 0.55 * math.cos(angle), y + r * 0.55 * math.sin(angle), r * 0.85, ink=0)


def _arrow(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, angle: float) -> None:
    w = r * 0.26
    polygon(pen, x, y, angle, [(-r, -w), (r * 0.2, -w), (r * 0.2, w), (-r, w)])
    polygon(pen, x, y, angle, [(r * 0.1, -r * 0.8), (r * 1.1, 0), (r * 0.1, r * 0.8)])


def _hourglass(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, angle: float) -> None:
    w = r * 0.8
    polygon(pen, x, y, angle, [(-w, -r), (w, -r), (-w, r), (w, r)])


FIGURES = {"crescent": _crescent, "arrow": _arrow, "hourglass": _hourglass}


def _draw_figure(name: str, rng: random.Random) -> Media:
    scene = replace(scenes.random_scene(rng), count=rng.randint(1, 3), texture="plain")
    radius = rng.uniform(9, 12.5)
    centres = scenes.place(scene.count, scene.position, radius, rng)
    mask = Image.new("L", (SIDE * OVERSAMPLING, SIDE * OVERSAMPLING), 0)
    pen = ImageDraw.Draw(mask)
    for x, y in centres:
        FIGURES[name](pen, x, y, radius, rng.uniform(-0.3, 0.3))
    canvas = scenes.background(rng)
    canvas.paste(scenes.fill(scene.colour, "plain", rng), mask=mask)
    return [scenes.finish(canvas)]


TINTS: dict[str, Colour] = {"pink": (250, 150, 190), "teal": (30, 165, 160), "brown": (140, 85, 40)}


def _draw_tint(name: str, rng: random.Random) -> Media:
    scene = scenes.random_scene(rng)
    radius = scenes.radius_of(scene, rng)
    centres = scenes.place(scene.count, scene.position, radius, rng)
    canvas = scenes.background(rng)
    mask = scenes.shape_mask(scene.shape, centres, radius, rng)
    canvas.paste(scenes.fill(TINTS[name], scene.texture, rng), mask=mask)
    return [scenes.finish(canvas)]


LAYOUTS: dict[str, tuple[float, float]] = {"row": (1, 0), "column": (0, 1), "diagonal": (0.75, 0.75)}


def _draw_layout(name: str, rng: random.Random) -> Media:
    scene = replace(scenes.random_scene(rng), count=3)
    radius = rng.uniform(7, 10)
    step = rng.uniform(max(21, 2.1 * radius), 27)
    dx, dy = LAYOUTS[name]
    x, y = SIDE / 2 + rng.uniform(-8, 8), SIDE / 2 + rng.uniform(-8, 8)
    centres = [(x + i * step * dx, y + i * step * dy) for i in (-1, 0, 1)]
    return [scenes.paint(scene, centres, radius, rng)]


def _draw_conjunction(name: str, rng: random.Random) -> Media:
    """Draw a dax, which is red and round, or another scene: red or round, never both, equally often."""
    scene = scenes.random_scene(rng)
    red, round_ = (True, True) if name == "dax" else rng.choice([(True, False), (False, True)])
    colour = "red" if red else rng.choice([c for c in scenes.COLOURS if c != "red"])
    shapes = [s for s in scenes.SHAPES if (s in ("circle", "ring")) == round_]
    return [scenes.draw_scene(replace(scene, colour=colour, shape=rng.choice(shapes)), rng)]


def _draw_relation(name: str, rng: random.Random) -> Media:
    """Draw two different shapes of different colours, next to each other or stacked."""
    canvas = scenes.background(rng)
    colours, shapes = rng.sample(list(scenes.COLOURS), 2), rng.sample(scenes.SHAPES, 2)
    gap, across = rng.uniform(13, 19), rng.uniform(-5, 5)
    x, y = SIDE / 2 + rng.uniform(-10, 10), SIDE / 2 + rng.uniform(-10, 10)
    for side, colour, shape in zip((-1, 1), colours, shapes, strict=True):
        dx, dy = (side * gap, side * across) if name == "beside" else (side * across, side * gap)
        mask = scenes.shape_mask(shape, [(x + dx, y + dy)], rng.uniform(8, 11), rng)
        canvas.paste(scenes.fill(colour, "plain", rng), mask=mask)
    return [scenes.finish(canvas)]


def _stroke(name: str, rng: random.Random) -> list[Point]:
    """Return the points of a pen stroke from left to right, in units of the stroke's height."""
    steps = [i / 60 for i in range(61)]
    turns = rng.uniform(2.4, 3.4)
    if name == "zigzag":
        return [(2.4 * t - 1.2, 1 - 4 * abs((turns * t) % 1 - 0.5)) for t in steps]
    if name == "curls":
        return [
            (2.0 * t - 1 - 0.55 * math.sin(2 * math.pi * turns * t), math.cos(2 * math.pi * turns * t))
            for t in steps
        ]
    return [  # a spiral
        (1.3 * t * math.cos(2 * math.pi * turns * t), 1.3 * t * math.sin(2 * math.pi * turns * t))
        for t in steps
    ]


def _draw_stroke(name: str, rng: random.Random) -> Media:
    canvas = scenes.background(rng)
    height, slant = rng.uniform(11, 17), rng.uniform(-0.25, 0.25)
    x, y = SIDE / 2 + rng.uniform(-9, 9), SIDE / 2 + rng.uniform(-9, 9)
    points = [
        (
            (x + height * (a + slant * b) + rng.gauss(0, 0.35)) * OVERSAMPLING,
            (y + height * b + rng.gauss(0, 0.35)) * OVERSAMPLING,
        )
        for a, b in _stroke(name, rng)
    ]
    ink = tuple(rng.randint(190, 255) for _ in range(3))
    ImageDraw.Draw(canvas).line(points, fill=ink, width=round(rng.uniform(2.0, 3.6) * OVERSAMPLING))
    return [scenes.finish(canvas)]


def _blinking(radius: float, frames: int, rng: random.Random) -> Path:
    x, y, phase = rng.uniform(20, 64), rng.uniform(20, 64), rng.randrange(4)
    return [(x, y, radius if (i + phase) // 2 % 2 else 0.0) for i in range(frames)]


def _bouncing(radius: float, frames: int, rng: random.Random) -> Path:
    floor, x = SIDE - radius - 3, rng.uniform(16, 68)
    height, phase = rng.uniform(32, 46), rng.random()
    return [
        (x, floor - height * abs(math.sin(math.pi * (1.6 * i / frames + phase))), radius)
        for i in range(frames)
    ]


def _circling(radius: float, frames: int, rng: random.Random) -> Path:
    reach, start, sense = rng.uniform(17, 25), rng.uniform(0, 7), rng.choice((-1, 1))
    angles = [start + sense * 2 * math.pi * i / frames for i in range(frames)]
    return [(SIDE / 2 + reach * math.cos(a), SIDE / 2 + reach * math.sin(a), radius) for a in angles]


MOVEMENTS = {"blinking": _blinking, "bouncing": _bouncing, "circling": _circling}


def _draw_movement(name: str, rng: random.Random) -> Media:
    return scenes.draw_path(scenes.random_scene(rng), MOVEMENTS[name], rng)


TASKS = (
    UnseenTask("pattern", "Which pattern covers it?", tuple(PATTERNS), _draw_pattern),
    UnseenTask("figure", "Which figure is drawn?", tuple(FIGURES), _draw_figure),
    UnseenTask("tint", "Which tint does it have?", tuple(TINTS), _draw_tint),
    UnseenTask("layout", "How are they arranged?", tuple(LAYOUTS), _draw_layout),
    UnseenTask("conjunction", "Is this a dax?", ("dax", "other"), _draw_conjunction),
    UnseenTask("relation", "How do the two relate?", ("beside", "stacked"), _draw_relation),
    UnseenTask("stroke", "What has the pen drawn?", ("zigzag", "curls", "spiral"), _draw_stroke),
    UnseenTask("movement", "What is happening?", tuple(MOVEMENTS), _draw_movement, clip=True),
)

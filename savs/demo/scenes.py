"""Draws the demo's scenes: shapes on a background, as images and as short videos.

A scene is a few equal shapes in one place. Every function here depends only on its arguments and a
`random.Random`, so a seed gives the same pixels on every machine with the same Pillow version. Questions
and answers are in `questions` and `unseen`.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

SIDE = 84  # pixels: three merged visual tokens of 28 pixels in each direction
OVERSAMPLING = 2  # shapes are drawn at twice the size and averaged, which smooths edges
CLIP_FRAMES = 8  # frames of a video
CLIP_FPS = 4.0  # frames per second of a video

COLOURS = {
    "red": (222, 40, 40),
    "orange": (245, 140, 20),
    "yellow": (240, 225, 50),
    "green": (40, 165, 60),
    "blue": (40, 80, 225),
    "purple": (145, 50, 175),
    "white": (248, 248, 248),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "heart")
TEXTURES = ("plain", "striped", "dotted")
SIZES = {"small": (7.3, 8.3), "large": (10.4, 13.0)}  # radius in pixels, from and to
POSITIONS = ("left", "right", "top", "bottom", "middle")
MAX_COUNT = 5
MOTIONS = ("left", "right", "up", "down", "growing", "shrinking")

Point = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Scene:
    """The content of an image. `shape`, `texture` and `colour` may be names that are never taught."""

    shape: str
    colour: str
    size: str
    texture: str
    count: int
    position: str


def draw_scene(scene: Scene, rng: random.Random, side: int = SIDE) -> Image.Image:
    """Return an image of `scene`: RGB, `side` × `side` pixels."""
    radius = radius_of(scene, rng)
    centres = place(scene.count, scene.position, radius, rng)
    return paint(scene, centres, radius, rng, side)


def random_scene(rng: random.Random) -> Scene:
    """Return a scene of taught attributes, each drawn uniformly (half of the textures plain)."""
    return Scene(
        shape=rng.choice(SHAPES),
        colour=rng.choice(list(COLOURS)),
        size=rng.choice(list(SIZES)),
        texture=rng.choice((*TEXTURES, TEXTURES[0])),
        count=rng.randint(1, MAX_COUNT),
        position=rng.choice(POSITIONS),
    )


def radius_of(scene: Scene, rng: random.Random) -> float:
    """Return a radius in pixels, drawn uniformly from the range of the scene's size."""
    low, high = SIZES[scene.size]
    if scene.count > 3:
        high = min(high, 10.8)  # larger shapes would not fit next to each other
    return rng.uniform(low, high)


def place(count: int, position: str, radius: float, rng: random.Random) -> list[Point]:
    """Return the centres, in pixels, of `count` shapes that do not touch and are on average at `position`."""
    middle = SIDE / 2
    low, high = radius + 2, SIDE - radius - 2
    for attempt in range(400):
        spread = min(1.0, 0.35 + 0.13 * count + attempt / 400) * (middle - radius - 2)
        away = rng.uniform(11, 27) if count < 4 else rng.uniform(11, 18)
        target = {
            "left": (middle - away, middle),
            "right": (middle + away, middle),
            "top": (middle, middle - away),
            "bottom": (middle, middle + away),
            "middle": (middle, middle),
        }[position]
        centres: list[Point] = []
        for _ in range(count * 12):
            x = min(max(target[0] + rng.uniform(-spread, spread), low), high)
            y = min(max(target[1] + rng.uniform(-spread, spread), low), high)
            if all(math.hypot(x - a, y - b) > 2.15 * radius + 1 for a, b in centres):
                centres.append((x, y))
                if len(centres) == count:
                    break
        if len(centres) == count and _position(centres) == position:
            return centres
    raise ValueError(f"{count} shapes of radius {radius:.1f} do not fit at {position!r}")


def _position(centres: list[Point]) -> str | None:
    """Return the average position of the shapes, or None if it is ambiguous."""
    dx = sum(x for x, _ in centres) / len(centres) - SIDE / 2
    dy = sum(y for _, y in centres) / len(centres) - SIDE / 2
    if max(abs(dx), abs(dy)) <= 4:
        return "middle"
    if abs(dx) >= 9 and abs(dy) <= abs(dx) / 2:
        return "left" if dx < 0 else "right"
    if abs(dy) >= 9 and abs(dx) <= abs(dy) / 2:
        return "top" if dy < 0 else "bottom"
    return None


def paint(
    scene: Scene, centres: list[Point], radius: float, rng: random.Random, side: int = SIDE
) -> Image.Image:
    """Return an image of the shapes of `scene` at `centres`, on a random background."""
    canvas = background(rng)
    mask = shape_mask(scene.shape, centres, radius, rng)
    canvas.paste(fill(scene.colour, scene.texture, rng), mask=mask)
    return finish(canvas, side)


def finish(canvas: Image.Image, side: int = SIDE) -> Image.Image:
    return canvas.resize((side, side), Image.Resampling.BOX if side == SIDE else Image.Resampling.BICUBIC)


@cache
def grid() -> tuple[np.ndarray, np.ndarray]:
    """Return x float32 [1, n] and y float32 [n, 1] of the canvas' pixels, in pixels of the final image."""
    axis = np.arange(SIDE * OVERSAMPLING, dtype=np.float32) / OVERSAMPLING
    return axis[None, :], axis[:, None]


def background(rng: random.Random) -> Image.Image:
    """Return a dark, greyish canvas: uniform, shaded from one side to the other, or grainy."""
    large = SIDE * OVERSAMPLING
    base = [rng.uniform(15, 95) + rng.uniform(-12, 12) for _ in range(3)]
    kind = rng.randrange(3)
    if kind == 0:
        return Image.new("RGB", (large, large), tuple(int(max(0, c)) for c in base))
    if kind == 1:
        x, y = grid()
        angle = rng.uniform(0, 2 * math.pi)
        ramp = (math.cos(angle) * (x - SIDE / 2) + math.sin(angle) * (y - SIDE / 2)) * (40 / SIDE)
    else:
        noise = np.frombuffer(rng.randbytes(SIDE * SIDE), np.uint8).reshape(SIDE, SIDE)
        ramp = np.repeat(np.repeat((noise - 127.5) * (36 / 255), 2, 0), 2, 1)
    pixels = np.clip(np.asarray(base, np.float32) + ramp[:, :, None], 0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


def fill(colour: str | Colour, texture: str, rng: random.Random) -> Image.Image:
    """Return the surface of a shape: its colour, and a darker shade in the marks of the texture."""
    large = SIDE * OVERSAMPLING
    rgb = np.asarray(COLOURS[colour] if isinstance(colour, str) else colour, np.float32)
    rgb = np.clip(rgb + [rng.uniform(-12, 12) for _ in range(3)], 0, 255)
    if texture == "plain":
        return Image.new("RGB", (large, large), tuple(int(c) for c in rgb))
    marks = TEXTURE_MARKS[texture](rng)[:, :, None]
    pixels = np.where(marks, rgb * 0.4, rgb)
    return Image.fromarray(pixels.astype(np.uint8))


def _striped(rng: random.Random) -> np.ndarray:
    x, y = grid()
    period, phase = rng.uniform(4.6, 6.0), rng.uniform(0, 6)
    return np.broadcast_to((y + phase) % period < period * 0.36, (len(y), x.shape[1]))


def _dotted(rng: random.Random) -> np.ndarray:
    x, y = grid()
    period, a, b = rng.uniform(4.8, 6.0), rng.uniform(0, 6), rng.uniform(0, 6)
    dx, dy = (x + a) % period - period / 2, (y + b) % period - period / 2
    return dx * dx + dy * dy < (period * 0.29) ** 2


TEXTURE_MARKS: dict[str, Callable[[random.Random], np.ndarray]] = {
    "striped": _striped,
    "dotted": _dotted,
}


def shape_mask(
    shape: str, centres: list[Point], radius: float, rng: random.Random, tilt: float = 0.2
) -> Image.Image:
    """Return a mask that is white on the shapes. `tilt`: largest rotation in radians, drawn per shape."""
    mask = Image.new("L", (SIDE * OVERSAMPLING, SIDE * OVERSAMPLING), 0)
    pen = ImageDraw.Draw(mask)
    for x, y in centres:
        OUTLINES[shape](pen, x, y, radius, rng.uniform(-tilt, tilt))
    return mask


def polygon(
    pen: ImageDraw.ImageDraw, x: float, y: float, angle: float, points: list[Point], ink: int = 255
) -> None:
    """Draw `points` (pixels, relative to the centre), rotated by `angle` radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    pen.polygon(
        [((x + a * cos - b * sin) * OVERSAMPLING, (y + a * sin + b * cos) * OVERSAMPLING) for a, b in points],
        fill=ink,
    )


def disc(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, ink: int = 255) -> None:
    s = OVERSAMPLING
    pen.ellipse([(x - r) * s, (y - r) * s, (x + r) * s, (y + r) * s], fill=ink)


def _around(radius: float, corners: int, inner: float = 1.0) -> list[Point]:
    """Return points on a circle, from the top; with `inner`, every second one is closer to the centre."""
    steps = corners if inner == 1.0 else corners * 2
    return [
        (
            radius * (inner if inner != 1.0 and i % 2 else 1.0) * math.sin(2 * math.pi * i / steps),
            -radius * (inner if inner != 1.0 and i % 2 else 1.0) * math.cos(2 * math.pi * i / steps),
        )
        for i in range(steps)
    ]


def _circle(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, angle: float) -> None:
    disc(pen, x, y, r)


def _square(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, angle: float) -> None:
    h = r * 0.88
    polygon(pen, x, y, angle, [(-h, -h), (h, -h), (h, h), (-h, h)])


def _triangle(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, angle: float) -> None:
    polygon(pen, x, y + r * 0.15, angle, _around(r * 1.1, 3))


def _star(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, angle: float) -> None:
    polygon(pen, x, y, angle, _around(r * 1.15, 5, 0.42))


def _cross(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, angle: float) -> None:
    w = r * 0.32
    polygon(pen, x, y, angle, [(-w, -r), (w, -r), (w, r), (-w, r)])
    polygon(pen, x, y, angle, [(-r, -w), (r, -w), (r, w), (-r, w)])


def _ring(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, angle: float) -> None:
    disc(pen, x, y, r)
    disc(pen, x, y, r * 0.52, ink=0)


def _heart(pen: ImageDraw.ImageDraw, x: float, y: float, r: float, angle: float) -> None:
    disc(pen, x - r * 0.47, y - r * 0.35, r * 0.53)
    disc(pen, x + r * 0.47, y - r * 0.35, r * 0.53)
    polygon(pen, x, y, 0.0, [(-r * 0.95, -r * 0.12), (r * 0.95, -r * 0.12), (0, r)])


Outline = Callable[[ImageDraw.ImageDraw, float, float, float, float], None]
OUTLINES: dict[str, Outline] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
    "heart": _heart,
}


Path = list[tuple[float, float, float]]  # x, y and radius in pixels, one per frame
PathMaker = Callable[[float, int, random.Random], Path]


def draw_clip(scene: Scene, motion: str, rng: random.Random) -> list[Image.Image]:
    """Return `CLIP_FRAMES` frames of one shape of `scene` with the given `motion`."""
    return draw_path(scene, MOTION_PATHS[motion], rng)


def draw_path(scene: Scene, path: PathMaker, rng: random.Random) -> list[Image.Image]:
    """Return frames of one shape along `path`; background and texture are the same in all frames."""
    canvas = background(rng)
    surface = fill(scene.colour, scene.texture, rng)
    radius = radius_of(replace(scene, count=1), rng)
    pictures = []
    for x, y, r in path(radius, CLIP_FRAMES, rng):
        frame = canvas.copy()
        if r > 0:
            frame.paste(surface, mask=shape_mask(scene.shape, [(x, y)], r, rng, tilt=0.0))
        pictures.append(finish(frame))
    return pictures


def _straight(dx: int, dy: int) -> PathMaker:
    def path(radius: float, frames: int, rng: random.Random) -> Path:
        length = rng.uniform(30, 50)
        reach = SIDE / 2 - radius - 2
        along = rng.uniform(-reach, reach - length) if reach - length > -reach else -reach
        across = rng.uniform(-reach, reach)
        steps = [along + length * i / (frames - 1) for i in range(frames)]
        middle = SIDE / 2
        if dx:
            return [(middle + dx * s, middle + across, radius) for s in steps]
        return [(middle + across, middle + dy * s, radius) for s in steps]

    return path


def _resizing(grow: bool) -> PathMaker:
    def path(radius: float, frames: int, rng: random.Random) -> Path:
        small, large = rng.uniform(4, 6), rng.uniform(13, 20)
        x, y = rng.uniform(large + 2, SIDE - large - 2), rng.uniform(large + 2, SIDE - large - 2)
        radii = [small + (large - small) * i / (frames - 1) for i in range(frames)]
        return [(x, y, r) for r in (radii if grow else reversed(radii))]

    return path


MOTION_PATHS: dict[str, PathMaker] = {
    "left": _straight(-1, 0),
    "right": _straight(1, 0),
    "up": _straight(0, -1),
    "down": _straight(0, 1),
    "growing": _resizing(True),
    "shrinking": _resizing(False),
}

"""Pictures and clips for tests, and vectors whose every number is known."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from savs.demo.scenes import Scene, draw_scene
from savs.engine.vectors import HeadVectors
from savs.model.heads import HeadLayout, LayerHeads

CLASSES = ("circle", "star", "heart")


def draw(shape: str, seed: int) -> Image.Image:
    """A picture of 84 × 84 pixels that shows `shape`."""
    rng = random.Random(f"{shape} {seed}")
    colour = rng.choice(["red", "green", "blue", "white"])
    return draw_scene(Scene(shape, colour, "large", "plain", 1, "middle"), rng)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture that is as wide and as high as wanted."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def write_clip(path: Path, frames: int, fps: int, width: int = 64, height: int = 48) -> Path:
    """A video whose frame i is grey of brightness 8 * i, so that frames can be told apart."""
    grey = [np.full((height, width, 3), 8 * number, dtype=np.uint8) for number in range(frames)]
    return write_video(path, grey, fps)


def write_video(path: Path, frames: Sequence[np.ndarray], fps: int) -> Path:
    """A video of `frames`, uint8 [height, width, 3]."""
    import av

    height, width, _ = frames[0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def layout(*sizes: tuple[int, int]) -> HeadLayout:
    """Layers of (heads, head_dim)."""
    return HeadLayout(tuple(LayerHeads(i, heads, width) for i, (heads, width) in enumerate(sizes)))


def head_vectors(values: Sequence[Sequence[float]] | np.ndarray, *sizes: tuple[int, int]) -> HeadVectors:
    """Rows of head vectors in layers of (heads, head_dim)."""
    return HeadVectors(layout(*sizes), np.asarray(values, dtype=np.float32))

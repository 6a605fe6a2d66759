"""Generated media on which trials are run: the same every time."""

from typing import TYPE_CHECKING, Any

from savs.data.video.sampling import Video

if TYPE_CHECKING:
    from PIL.Image import Image


def gradients(*sizes: tuple[int, int]) -> "list[Image]":
    """Return grey images of these widths and heights that grow brighter from top to bottom."""
    from PIL import Image

    drawn = Image.linear_gradient("L")
    return [drawn.resize(size).convert("RGB") for size in sizes]


def ramps(side: int) -> "Image":
    """Return an image in which red increases to the right and green to the bottom."""
    import numpy as np
    from PIL import Image

    ramp = np.linspace(0, 255, side, dtype=np.uint8)
    red, green = np.broadcast_arrays(ramp[None, :], ramp[:, None])
    return Image.fromarray(np.stack([red, green, np.full_like(red, 99)], axis=-1))


def noise_image(size: tuple[int, int]) -> "Image":
    """Return noise of this width and height, in which every byte occurs."""
    from PIL import Image

    width, height = size
    return Image.fromarray(_noise((height, width, 3)))


def long_video(frames: int) -> Video:
    """Return a small, slow video: if a model counts positions in time, they far exceed those in space."""
    import numpy as np

    grey = np.linspace(0, 255, frames * 56 * 28 * 3).astype(np.uint8).reshape(frames, 56, 28, 3)
    return Video(grey, tuple(range(frames)), fps=1.0, total=frames)


def noise_video(shape: tuple[int, int, int]) -> Video:
    """Return noise of this number of frames, height and width."""
    frames = _noise((*shape, 3))
    return Video(frames, tuple(range(len(frames))), fps=1.0, total=len(frames))


def _noise(shape: tuple[int, ...]) -> Any:
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

"""A loaded checkpoint: its network, its processor, and where its heads are."""

from dataclasses import dataclass, field, replace
from threading import RLock
from typing import TYPE_CHECKING, Any

from savs.data.video.sampling import FrameSampling
from savs.model.chat import Chat
from savs.model.heads import HeadLayout, HeadProjection
from savs.model.pixels import with_budget
from savs.model.raw_pixels import Raw

if TYPE_CHECKING:
    import torch


class Turns:
    """A lock that a thread may take again. A deep copy is a lock of its own, since a model may be copied."""

    def __init__(self) -> None:
        self.lock = RLock()

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    def __reduce__(self) -> tuple[type["Turns"], tuple[()]]:
        return type(self), ()


@dataclass(frozen=True)
class Model:
    """A loaded model, ready for `extract`.

    name         as given to `load_model`: an alias, a hub id or a folder
    revision     the hub's commit, or "local"
    fingerprint  sha256 over the checkpoint's files
    network      the transformers model, in eval mode
    processor    its processor; renders prompts and preprocesses media
    chat         how its prompts are written
    projections  the attention output projection of every layer
    layout       how a row of head vectors is divided into heads
    context      maximum number of tokens of one item
    sampling     which frames of a video are shown
    shares       whether questions about the same media may share a row (`savs.engine.sharing`)
    derives      whether the network is given what it would derive from the sizes of images on its device:
                 positions, and what its vision tower needs (`savs.model.grids`)
    raw          which pixels the processor leaves to the device to normalise (`savs.model.raw_pixels`)
    preparing    held while the processor is called: tokenizers are not thread-safe
    """

    name: str
    revision: str
    fingerprint: str
    network: Any
    processor: Any
    chat: Chat
    projections: tuple[HeadProjection, ...]
    layout: HeadLayout
    context: int
    sampling: FrameSampling
    shares: bool = False
    derives: bool = False
    raw: Raw = field(default_factory=Raw)
    preparing: Turns = field(default_factory=Turns, repr=False, compare=False)

    def __repr__(self) -> str:
        return (
            f"Model({self.name!r}, revision {self.revision}, {self.dtype} on {self.device}, "
            f"{self.layout.counts})"
        )

    @property
    def device(self) -> "torch.device":
        """The device of the inputs; the layers may be on several devices."""
        device: torch.device = self.network.get_input_embeddings().weight.device
        return device

    @property
    def dtype(self) -> str:
        """For example "float32" or "bfloat16"."""
        return str(self.network.dtype).removeprefix("torch.")

    def shown(
        self,
        frames: int | None = None,
        fps: float | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
    ) -> "Model":
        """Return a copy with the same network that shows items with these settings; others stay the same.

        frames      frames of a video, or
        fps         frames per second of a video
        min_pixels  lower limit of pixels, as the checkpoint's processors count them (`savs.model.pixels`)
        max_pixels  upper limit of pixels

        Raises UnsupportedModel if the processors have no pixel budget, and ValueError if `frames` and
        `fps` are both given or unusable.
        """
        sampling = self.sampling if frames is None and fps is None else FrameSampling(frames, fps)
        processor = with_budget(self.processor, self.name, min_pixels, max_pixels)
        return replace(self, sampling=sampling, processor=processor)

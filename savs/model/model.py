"""A loaded checkpoint: its network, its processor, and where its heads are."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from savs.data.media import FrameSampling
from savs.model.chat import Chat
from savs.model.heads import HeadLayout, HeadProjection
from savs.model.pixels import with_budget

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Model:
    """A loaded model, ready for `extract`.

    name         what was asked for: an alias, a hub id or a folder
    revision     the hub's commit, or "local"
    fingerprint  sha256 over the checkpoint's files
    network      the transformers model, in eval mode
    processor    its processor; renders prompts and preprocesses media
    chat         how it wants its prompts written
    projections  the attention output projection of every layer
    layout       how a row of head vectors is divided into heads
    context      tokens that one item may have
    sampling     which frames of a video are shown
    shares       whether questions about the same media may share a row (`savs.engine.sharing`)
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

    @property
    def device(self) -> "torch.device":
        """Where inputs go; the layers may lie on several devices."""
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
        """The same network, to which items are shown otherwise. What is not given stays; this one, too.

        frames      of a video, or
        fps         frames per second of a video
        min_pixels  budget of pixels, as the checkpoint's processors count them (see `savs.model.pixels`)
        max_pixels  its other end

        Raises UnsupportedModel where the processors keep to no budget, and ValueError where both or
        unusable numbers of frames are given.
        """
        sampling = self.sampling if frames is None and fps is None else FrameSampling(frames, fps)
        processor = with_budget(self.processor, self.name, min_pixels, max_pixels)
        return replace(self, sampling=sampling, processor=processor)

"""Loads a Hugging Face image-text-to-text checkpoint and finds its heads.

Only safetensors weights are read, and no code that comes with a checkpoint is ever run.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.budgets import with_budget
from savs.chat import Chat, find_chat
from savs.errors import ModelNotFound, UnsupportedModel
from savs.fingerprints import fingerprint
from savs.heads import HeadLayout, HeadProjection, find_projections
from savs.media import FrameSampling

if TYPE_CHECKING:
    import torch

DEMO = Path(__file__).parent / "demo" / "checkpoint"
ALIASES = {
    "demo": str(DEMO),
    "llava_ov": "llava-hf/llava-onevision-qwen2-7b-ov-hf",
    "qwen2_vl": "Qwen/Qwen2-VL-7B-Instruct",
    "qwen2.5_vl": "Qwen/Qwen2.5-VL-7B-Instruct",
}
CHECKPOINT_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors")  # no pickles
DEFAULT_FRAMES = 16  # frames of a video, as published for LLaVA-OneVision
QWEN_FPS = 2.0  # frames per second, as published for Qwen2-VL
GPU_HEADROOM = 0.8  # share of a GPU's memory that weights may take before layers are spread


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
    shares       whether questions about the same media may share a row (`savs.sharing`)
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
        min_pixels  budget of pixels, as the checkpoint's processors count them (see `savs.budgets`)
        max_pixels  its other end

        Raises UnsupportedModel where the processors keep to no budget, and ValueError where both or
        unusable numbers of frames are given.
        """
        sampling = self.sampling if frames is None and fps is None else FrameSampling(frames, fps)
        processor = with_budget(self.processor, self.name, min_pixels, max_pixels)
        return replace(self, sampling=sampling, processor=processor)


def load_model(
    name_or_path: str | Path,
    device: "str | torch.device | None" = None,
    dtype: "str | torch.dtype | None" = None,
    sampling: FrameSampling | None = None,
    self_test: bool = True,
) -> Model:
    """Loads a checkpoint: an alias (`demo`, `llava_ov`, `qwen2_vl`, `qwen2.5_vl`), a hub id or a folder.

    device     where it runs; by default a GPU if there is one. A model larger than one GPU is
               spread over all of them with accelerate.
    dtype      by default float32 on a CPU and the checkpoint's own on a GPU
    sampling   frames of a video; by default what the checkpoint was published with
    self_test  False loads also a model whose vectors depend on what else is in a batch

    Raises ModelNotFound, or UnsupportedModel where the heads cannot be read or the self-test fails.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder, revision = locate_checkpoint(str(name_or_path))
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    wanted = dtype or ("float32" if target.type == "cpu" else "auto")
    if isinstance(wanted, str) and wanted != "auto":
        wanted = getattr(torch, wanted)
    options: dict[str, Any] = {"dtype": wanted, "use_safetensors": True, "trust_remote_code": False}
    if target.type == "cuda" and _larger_than(folder, target):
        options["device_map"] = "auto"
    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
        network, found = AutoModelForImageTextToText.from_pretrained(
            folder, output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise UnsupportedModel(
            f"{name_or_path}: not an image-text-to-text checkpoint that transformers can load: {error}"
        ) from error
    if found["missing_keys"]:  # transformers would go on with random numbers in their place
        raise UnsupportedModel(
            f"{name_or_path}: the checkpoint lacks weights: {', '.join(sorted(found['missing_keys'])[:3])} …"
        )
    if "device_map" not in options:
        network = network.to(target)
    digest = fingerprint(folder)
    return wrap(network.eval(), processor, str(name_or_path), revision, digest, sampling, self_test)


def wrap(
    network: Any,
    processor: Any,
    name: str,
    revision: str,
    digest: str,
    sampling: FrameSampling | None = None,
    self_test: bool = True,
) -> Model:
    """A `Model` around a network and a processor that are already in memory. Raises UnsupportedModel."""
    from savs.attending import attend_in_chunks
    from savs.branching import attend_in_branches
    from savs.patches import embed_by_product
    from savs.sharing import is_exact
    from savs.verifying import verify

    if not hasattr(processor, "tokenizer"):
        raise UnsupportedModel(f"{name}: its processor has no tokenizer")
    projections = tuple(find_projections(network))
    text = network.config.get_text_config(decoder=True)
    model = Model(
        name=name,
        revision=revision,
        fingerprint=digest,
        network=network,
        processor=processor,
        chat=find_chat(processor, name),
        projections=projections,
        layout=HeadLayout(tuple(p.heads for p in projections)),
        context=_context(text, processor),
        sampling=sampling or default_sampling(processor),
    )
    attend_in_chunks(network)
    attend_in_branches()
    embed_by_product(network)
    if self_test:
        verify(model)
    return replace(model, shares=is_exact(model))


def locate_checkpoint(name: str) -> tuple[Path, str]:
    """The folder that holds a checkpoint, downloaded from the hub if need be, and its revision."""
    place = ALIASES.get(name, name)
    if (Path(place) / "config.json").is_file():
        return Path(place), "local"
    known = ", ".join(ALIASES)
    if Path(place).exists() or not is_hub_id(place):
        raise ModelNotFound(
            f"{name!r} is no folder with a config.json, no hub id (owner/name), and none of: {known}"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(place, allow_patterns=list(CHECKPOINT_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelNotFound(
            f"{name!r} could not be fetched from the hub ({reason}). Known names: {known}"
        ) from error
    return Path(folder), Path(folder).name


def is_hub_id(name: str) -> bool:
    """Whether `name` has the form owner/name."""
    return bool(re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name))


def default_sampling(processor: Any) -> FrameSampling:
    """The checkpoint's own number of frames or frame rate, else the published one."""
    video = getattr(processor, "video_processor", None)
    if frames := getattr(video, "num_frames", None):
        return FrameSampling(frames=frames)
    if fps := getattr(video, "fps", None):
        return FrameSampling(frames=None, fps=float(fps))
    if type(video).__name__.startswith("Qwen2VL"):
        return FrameSampling(frames=None, fps=QWEN_FPS)
    return FrameSampling(frames=DEFAULT_FRAMES)


def _context(text: Any, processor: Any) -> int:
    """Tokens: the smaller of what the positions and the tokenizer allow."""
    lengths = [getattr(text, "max_position_embeddings", None), processor.tokenizer.model_max_length]
    return min(int(n) for n in lengths if n)


def _larger_than(folder: Path, device: "torch.device") -> bool:
    import torch

    weights = sum(p.stat().st_size for p in folder.glob("*.safetensors"))
    return weights > GPU_HEADROOM * torch.cuda.get_device_properties(device).total_memory

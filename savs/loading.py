"""Loads a Hugging Face image-text-to-text checkpoint and finds its heads.

Only safetensors weights are read, and no code that comes with a checkpoint is ever run.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs.data.video.sampling import FrameSampling
from savs.errors import UnsupportedModel, WrongType, WrongValue
from savs.model.chat import find_chat
from savs.model.checkpoint import locate_checkpoint
from savs.model.fingerprint import fingerprint
from savs.model.heads import HeadLayout, find_projections
from savs.model.model import Model
from savs.model.placement import Placement

if TYPE_CHECKING:
    import torch

DEFAULT_FRAMES = 16  # frames of a video, as published for LLaVA-OneVision
QWEN_FPS = 2.0  # frames per second, as published for Qwen2-VL


def load_model(
    name_or_path: str | Path,
    device: "str | torch.device | None" = None,
    dtype: "str | torch.dtype | None" = None,
    sampling: FrameSampling | None = None,
    self_test: bool = True,
) -> Model:
    """Loads a checkpoint: an alias (`demo`, `llava_ov`, `qwen2_vl`, `qwen2.5_vl`), a hub id or a folder.

    device     where it runs; by default a GPU if there is one. A model larger than one GPU is spread over
               all that this process sees, with accelerate; one that is larger than these is UnsupportedModel
    dtype      by default float32 on a CPU and the checkpoint's own on a GPU
    sampling   frames of a video; by default as published with the checkpoint
    self_test  False also loads a model whose vectors depend on the other items in a batch

    Raises ModelNotFound, SettingsError (also a TypeError or ValueError) if an argument is something else or
    there is no such device or dtype, or UnsupportedModel if the heads cannot be read or the self-test fails.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText, AutoProcessor

    if isinstance(name_or_path, Model):
        raise WrongType(f"{name_or_path.name} is loaded already; pass an alias, a hub id or a folder")
    if not isinstance(name_or_path, str | Path):
        raise WrongType(f"{name_or_path!r} is not a name or a path; pass an alias, a hub id or a folder")
    if not isinstance(sampling, FrameSampling | None):
        raise WrongType(f"sampling is {sampling!r}; pass savs.FrameSampling(frames=8), or None")
    folder, revision = locate_checkpoint(str(name_or_path))
    try:
        target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except (RuntimeError, TypeError) as error:
        raise WrongValue(f"device is {device!r}; pass cpu, cuda or cuda:N") from error
    wanted: Any = dtype or ("float32" if target.type == "cpu" else "auto")
    if isinstance(wanted, str) and wanted != "auto":
        wanted = getattr(torch, wanted, None)
    if wanted != "auto" and not isinstance(wanted, torch.dtype):
        raise WrongValue(f"dtype is {dtype!r}; pass float32, bfloat16 or float16")
    options: dict[str, Any] = {"dtype": wanted, "use_safetensors": True, "trust_remote_code": False}
    placement = Placement.of(str(name_or_path), folder, target) if target.type == "cuda" else None
    if placement is not None:
        options["device_map"] = placement.device_map(target)
    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
        network, found = AutoModelForImageTextToText.from_pretrained(
            folder, output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise UnsupportedModel(
            f"{name_or_path}: not an image-text-to-text checkpoint that transformers can load: {error}"
        ) from error
    if found["missing_keys"]:  # transformers would use random values in their place
        raise UnsupportedModel(
            f"{name_or_path}: the checkpoint lacks weights: {', '.join(sorted(found['missing_keys'])[:3])} …"
        )
    if placement is None:
        network = network.to(target)
    else:
        placement.check(getattr(network, "hf_device_map", {}))
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
    """Return a `Model` of a network and a processor that are already in memory. Raises UnsupportedModel."""
    from savs.layers.alignment import align_inner_widths
    from savs.layers.branches import attend_in_branches
    from savs.layers.fused import fuse
    from savs.layers.patches import embed_by_product
    from savs.layers.vision_attention import attend_in_chunks
    from savs.trials.grids import deriving_is_exact
    from savs.trials.raw_pixels import find_raw
    from savs.trials.self_test import run_self_test
    from savs.trials.sharing import sharing_is_exact

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
    gpu = model.device.type == "cuda"
    if gpu:
        align_inner_widths(network)
        fuse(network)
    model = replace(model, raw=find_raw(model))
    if self_test:
        run_self_test(model)
    model = replace(model, derives=gpu and deriving_is_exact(model))
    return replace(model, shares=sharing_is_exact(model))


def default_sampling(processor: Any) -> FrameSampling:
    """Return the checkpoint's own number of frames or frame rate, else the published one."""
    video = getattr(processor, "video_processor", None)
    if frames := getattr(video, "num_frames", None):
        return FrameSampling(frames=frames)
    if fps := getattr(video, "fps", None):
        return FrameSampling(frames=None, fps=float(fps))
    if type(video).__name__.startswith("Qwen2VL"):
        return FrameSampling(frames=None, fps=QWEN_FPS)
    return FrameSampling(frames=DEFAULT_FRAMES)


def _context(text: Any, processor: Any) -> int:
    """Return the smaller of the token limits of the positions and of the tokenizer."""
    lengths = [getattr(text, "max_position_embeddings", None), processor.tokenizer.model_max_length]
    return min(int(n) for n in lengths if n)

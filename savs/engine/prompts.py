"""Renders items as the checkpoint's chat prompts and preprocesses them, a batch at a time.

Rows are padded on the right by default: in a causal decoder nothing after a token changes that token,
whatever positions a model uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from savs.data.video.sampling import Video
from savs.errors import ItemError, ItemTooLong, UnusablePrompt
from savs.model.chat import MediaKind, write
from savs.model.model import Model
from savs.model.raw_pixels import Normalisation, RawPixels, planes

if TYPE_CHECKING:
    from PIL.Image import Image

Side = Literal["left", "right"]

# Raised by processors for an item that they do not support: an image 300 times as wide as high,
# or a question that contains a media placeholder.
PROCESSOR_ERRORS = (ValueError, TypeError, KeyError, IndexError, RuntimeError, AttributeError)
MILLISECONDS = 1000  # per second
MAX_QUESTION_CHARACTERS_PER_TOKEN = 64  # longer questions cannot fit and are not tokenized


@dataclass(frozen=True)
class Prompt:
    """The input of the model for one item: images (RGB) and videos, then the question."""

    media: tuple["Image | Video", ...]
    question: str


@dataclass(frozen=True)
class Processed:
    """Model inputs of n prompts.

    inputs   arguments of the network, on the CPU; `input_ids` int64 [n, tokens], padded on one side; pixels
             may be `RawPixels`, which `savs.engine.forward.onto_device` normalises
    lengths  tokens of each prompt
    """

    inputs: dict[str, Any]
    lengths: list[int]


def preprocess(
    model: Model, prompts: Sequence[Prompt], *, padding_side: Side = "right", room: int = 0
) -> tuple[list[tuple[list[int], Processed]], dict[int, ItemError]]:
    """Return batches of all usable prompts with their positions in `prompts`, and the others' errors.

    padding_side  "left" if an answer is generated after the prompts
    room          tokens of the context that are reserved for it

    The processor is called once for all prompts that may share a batch. If it raises an error, the
    prompts are halved until each failing prompt is alone.
    """
    errors = {i: error for i, p in enumerate(prompts) if (error := _unfit(model, p)) is not None}
    batches: list[tuple[list[int], Processed]] = []
    waiting = _groups(model, prompts, [i for i in range(len(prompts)) if i not in errors])
    while waiting:
        these = waiting.pop()
        if not these:
            continue
        try:
            batch = _process(model, [prompts[i] for i in these], padding_side)
        except PROCESSOR_ERRORS as error:
            half = len(these) // 2
            if half:
                waiting += [these[half:], these[:half]]
            else:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                errors[these[0]] = UnusablePrompt(f"the processor refuses the item: {reason}")
            continue
        long = [i for i, n in zip(these, batch.lengths, strict=True) if n + room > model.context]
        for i in long:
            answer = f", and {room} more for its answer" if room else ""
            errors[i] = too_long(model, f"{batch.lengths[these.index(i)]} tokens{answer}")
        if long:
            waiting.append([i for i in these if i not in errors])
        else:
            batches.append((these, batch))
    return batches, errors


def _unfit(model: Model, prompt: Prompt) -> ItemError | None:
    """Return the error of a prompt that cannot be processed, if that is clear without the processor."""
    if len(prompt.question) > model.context * MAX_QUESTION_CHARACTERS_PER_TOKEN:
        return too_long(model, f"a question of {len(prompt.question)} characters")
    for kind, noun in (("image", "images"), ("video", "videos")):
        # A processor without an image or video processor silently ignores such media.
        if kind in _kinds(prompt) and not hasattr(model.processor, f"{kind}_processor"):
            return UnusablePrompt(f"{model.name} does not accept {noun}")
    return None


def _groups(model: Model, prompts: Sequence[Prompt], positions: Sequence[int]) -> list[list[int]]:
    """Return `positions` in groups whose prompts may share a batch.

    Videos and images are in separate groups: GLM-4.1V uses the same token for both, and SmolVLM's
    processor returns both under one name. If a processor stacks videos, so are videos with different
    numbers of frames: it fails to stack them, or pads the shorter ones with black frames that count.
    """
    video_processor = getattr(model.processor, "video_processor", None)
    stacks = all(n.startswith("pixel") for n in getattr(video_processor, "model_input_names", ()))
    groups: dict[tuple[object, ...], list[int]] = {}
    for position in positions:
        videos = [m for m in prompts[position].media if isinstance(m, Video)]
        frames = sorted({len(video.frames) for video in videos}) if stacks else ()
        mixed = bool(videos) and len(videos) < len(prompts[position].media)
        groups.setdefault((bool(videos), mixed, *frames), []).append(position)
    return list(groups.values())


def too_long(model: Model, what: str) -> ItemTooLong:
    """Return the error of an item that does not fit into the model's context."""
    return ItemTooLong(f"the item has {what}; {model.name} accepts at most {model.context} tokens")


def _process(model: Model, prompts: Sequence[Prompt], padding_side: Side) -> Processed:
    images: list[list[Any]] = [[m for m in p.media if not isinstance(m, Video)] for p in prompts]
    videos = [m for p in prompts for m in p.media if isinstance(m, Video)]
    arguments: dict[str, Any] = {"text": render(model, prompts)}
    raw: list[Normalisation] = []
    if any(images):  # one list per prompt: LLaVA-OneVision treats one image and several differently
        arguments["images"] = images
        if model.raw.images is not None:
            raw.append(model.raw.images)
            arguments["images"] = [[planes(image) for image in several] for several in images]
            arguments["images_kwargs"] = {"input_data_format": "channels_first", **raw[-1].arguments}
    if videos:
        arguments["videos"] = [v.frames for v in videos]
        arguments["videos_kwargs"] = {
            "do_sample_frames": False,
            "video_metadata": [_metadata(v) for v in videos],
        }
        if model.raw.videos is not None:
            raw.append(model.raw.videos)
            arguments["videos_kwargs"] |= raw[-1].arguments
    if raw:  # tokens as lists, of which transformers is slow to make tensors
        for kind in arguments.keys() & {"images", "videos"}:
            arguments.setdefault(f"{kind}_kwargs", {})["return_tensors"] = "pt"
    else:
        arguments["return_tensors"] = "pt"
    with model.preparing:
        inputs = model.processor(
            **arguments,
            padding=True,
            padding_side=padding_side,
            add_special_tokens=_adds_special_tokens(model, arguments["text"]),
        )
    inputs.pop("video_metadata", None)
    found = {name: _named(name, value, raw) for name, value in inputs.items()}
    return Processed(found, found["attention_mask"].sum(1).tolist())


def _named(name: str, value: Any, raw: Sequence[Normalisation]) -> Any:
    """Return an output of the processor as a tensor, bytes with their normalisation. Raises TypeError."""
    import numpy as np
    import torch

    if raw and isinstance(value, list):
        numbers = np.asarray(value)
        return torch.from_numpy(numbers) if numbers.dtype == np.int64 else torch.tensor(value)
    rule = next((rule for rule in raw if name in rule.names), None)
    if rule is None:
        return value
    if not isinstance(value, torch.Tensor) or value.dtype != torch.uint8:
        raise TypeError(f"{name} has no bytes")
    return RawPixels(value, rule)


def _adds_special_tokens(model: Model, texts: Sequence[str]) -> bool:
    """Return False if the template already writes the first token (as in transformers), which must not be
    added twice."""
    bos = model.processor.tokenizer.bos_token
    return not (bos and texts[0].startswith(bos))


def tokenize(model: Model, texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of rendered prompts, media placeholders not expanded."""
    with model.preparing:
        found: list[list[int]] = model.processor.tokenizer(
            list(texts), add_special_tokens=_adds_special_tokens(model, texts)
        )["input_ids"]
    return found


def render(model: Model, prompts: Sequence[Prompt]) -> list[str]:
    """Return the chat prompts as text, made by `savs.model.chat.write`. Raises ValueError."""
    asked = [(tuple(_kinds(prompt)), prompt.question) for prompt in prompts]
    texts = {one: write(model.processor, model.chat, *one) for one in dict.fromkeys(asked)}
    return [texts[one] for one in asked]


def _kinds(prompt: Prompt) -> list[MediaKind]:
    return ["video" if isinstance(m, Video) else "image" for m in prompt.media]


def _metadata(video: Video) -> Any:
    """Return the frames' true times. Qwen's time positions are wrong without them.

    Processors compute a time as index / fps. If the rate is not constant, the frames are described as those
    of a video with a frame per millisecond.
    """
    from transformers.video_utils import VideoMetadata

    total, fps, indices = video.total, video.fps, list(video.indices)
    if video.times is not None:
        total, fps = round(video.duration * MILLISECONDS), float(MILLISECONDS)
        indices = [round(seconds * MILLISECONDS) for seconds in video.times]
    return VideoMetadata(
        total_num_frames=total,
        fps=fps,
        duration=video.duration,
        frames_indices=indices,
        height=video.frames.shape[1],
        width=video.frames.shape[2],
        video_backend="decord",
    )

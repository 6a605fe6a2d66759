"""Renders items as the checkpoint's chat prompts and preprocesses them, a batch at a time.

Rows are padded on the right, unless the caller says otherwise: in a causal decoder nothing after a
token changes it, whatever positions a model uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from savs.data.media import Video
from savs.errors import ItemError, ItemTooLong, UnusablePrompt
from savs.model.chat import MediaKind, write
from savs.model.model import Model

if TYPE_CHECKING:
    from PIL.Image import Image

Side = Literal["left", "right"]

# What processors raise for an item that they cannot take: a picture 300 times as wide as high,
# or a question that spells out a media placeholder.
PROCESSOR_ERRORS = (ValueError, TypeError, KeyError, IndexError, RuntimeError, AttributeError)
MAX_QUESTION_CHARACTERS_PER_TOKEN = 64  # a longer question cannot fit, and is not tokenized


@dataclass(frozen=True)
class Prompt:
    """What is shown to the model for one item: pictures (RGB) and videos, then the question."""

    media: tuple["Image | Video", ...]
    question: str


@dataclass(frozen=True)
class Processed:
    """Model inputs of n prompts.

    inputs   what the network takes, on the CPU; `input_ids` int64 [n, tokens], padded on one side
    lengths  tokens of each prompt
    """

    inputs: dict[str, Any]
    lengths: list[int]


def preprocess(
    model: Model, prompts: Sequence[Prompt], *, padding_side: Side = "right", room: int = 0
) -> tuple[list[tuple[list[int], Processed]], dict[int, ItemError]]:
    """Batches of all prompts that can be shown, with their positions, and the others' errors.

    padding_side  "left" where an answer is to be written behind the prompts
    room          tokens of the context that are kept for it

    The processor is called once for all prompts that may share a batch; only where it refuses
    are the prompts halved until the culprits are alone.
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
    """What is wrong with a prompt that need not be tried."""
    if len(prompt.question) > model.context * MAX_QUESTION_CHARACTERS_PER_TOKEN:
        return too_long(model, f"a question of {len(prompt.question)} characters")
    for kind, noun in (("image", "pictures"), ("video", "videos")):
        # A processor without one ignores what it is given.
        if kind in _kinds(prompt) and not hasattr(model.processor, f"{kind}_processor"):
            return UnusablePrompt(f"{model.name} takes no {noun}")
    return None


def _groups(model: Model, prompts: Sequence[Prompt], positions: Sequence[int]) -> list[list[int]]:
    """`positions`, divided into those whose prompts may share a batch.

    Videos stand apart from pictures: GLM-4.1V writes the same token for both, and SmolVLM's processor
    returns both under one name. Where a processor stacks videos, so do videos of another number of
    frames: it refuses to stack them, or fills the shorter up with black frames that it counts.
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
    """The error of an item that does not fit into the model's context."""
    return ItemTooLong(f"the item has {what}; {model.name} takes {model.context} tokens")


def _process(model: Model, prompts: Sequence[Prompt], padding_side: Side) -> Processed:
    images = [[m for m in p.media if not isinstance(m, Video)] for p in prompts]
    videos = [m for p in prompts for m in p.media if isinstance(m, Video)]
    arguments: dict[str, Any] = {"text": render(model, prompts)}
    if any(images):  # a list for each prompt, by which LLaVA-OneVision tells one picture from several
        arguments["images"] = images
    if videos:
        arguments["videos"] = [v.frames for v in videos]
        arguments["videos_kwargs"] = {
            "do_sample_frames": False,
            "video_metadata": [_metadata(v) for v in videos],
        }
    inputs = model.processor(
        **arguments,
        padding=True,
        padding_side=padding_side,
        return_tensors="pt",
        add_special_tokens=_adds_special_tokens(model, arguments["text"]),
    )
    inputs.pop("video_metadata", None)
    return Processed(dict(inputs), inputs["attention_mask"].sum(1).tolist())


def _adds_special_tokens(model: Model, texts: Sequence[str]) -> bool:
    """As transformers does: a template that writes the first token itself must not get it twice."""
    bos = model.processor.tokenizer.bos_token
    return not (bos and texts[0].startswith(bos))


def tokenize(model: Model, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of rendered prompts, media placeholders as they stand there."""
    found: list[list[int]] = model.processor.tokenizer(
        list(texts), add_special_tokens=_adds_special_tokens(model, texts)
    )["input_ids"]
    return found


def render(model: Model, prompts: Sequence[Prompt]) -> list[str]:
    """The chat prompts as text, as `savs.model.chat.write` does it. Raises ValueError."""
    asked = [(tuple(_kinds(prompt)), prompt.question) for prompt in prompts]
    texts = {one: write(model.processor, model.chat, *one) for one in dict.fromkeys(asked)}
    return [texts[one] for one in asked]


def _kinds(prompt: Prompt) -> list[MediaKind]:
    return ["video" if isinstance(m, Video) else "image" for m in prompt.media]


def _metadata(video: Video) -> Any:
    """The frames' true times, without which Qwen's time positions are wrong."""
    from transformers.video_utils import VideoMetadata

    return VideoMetadata(
        total_num_frames=video.total,
        fps=video.fps,
        duration=video.duration,
        frames_indices=list(video.indices),
        height=video.frames.shape[1],
        width=video.frames.shape[2],
        video_backend="decord",
    )

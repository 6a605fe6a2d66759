"""Renders items as the checkpoint's chat prompts and preprocesses them, a batch at a time.

An item is shown as one user turn: its media in order, then the question (or each where one of the
question's `<image>` marks is), then the generation prompt, so that the last token is where the model
is about to answer. Rows are padded on the right, unless the caller says otherwise: in a causal decoder
nothing after a token changes it, whatever positions a model uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from savs.errors import ItemError, ItemTooLong, UnusablePrompt
from savs.media import Video
from savs.models import Model

if TYPE_CHECKING:
    from PIL.Image import Image

Side = Literal["left", "right"]

# What processors raise for an item that they cannot take: a picture 300 times as wide as high,
# or a question that spells out a media placeholder.
PROCESSOR_ERRORS = (ValueError, TypeError, KeyError, IndexError, RuntimeError, AttributeError)
MARK = "<image>"  # where a question wants its next picture or video
MAX_QUESTION_CHARACTERS_PER_TOKEN = 64  # a longer question cannot fit, and is not tokenized


@dataclass(frozen=True)
class Prompt:
    """What is shown to the model for one item: pictures (RGB) and videos, then the question."""

    media: tuple["Image | Video", ...]
    question: str


@dataclass(frozen=True)
class Batch:
    """Model inputs of n prompts.

    inputs   what the network takes, on the CPU; `input_ids` int64 [n, tokens], padded on one side
    lengths  tokens of each prompt
    """

    inputs: dict[str, Any]
    lengths: list[int]


def preprocess(
    model: Model, prompts: Sequence[Prompt], *, padding_side: Side = "right", room: int = 0
) -> tuple[list[tuple[list[int], Batch]], dict[int, ItemError]]:
    """Batches of all prompts that can be shown, with their positions, and the others' errors.

    padding_side  "left" where an answer is to be written behind the prompts
    room          tokens of the context that are kept for it

    The processor is called once for all prompts, so there is one batch; only where it refuses
    are the prompts halved until the culprits are alone.
    """
    longest = model.context * MAX_QUESTION_CHARACTERS_PER_TOKEN
    errors: dict[int, ItemError] = {
        i: _too_long(model, f"a question of {len(p.question)} characters")
        for i, p in enumerate(prompts)
        if len(p.question) > longest
    }
    batches: list[tuple[list[int], Batch]] = []
    waiting = [[i for i in range(len(prompts)) if i not in errors]]
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
            errors[i] = _too_long(model, f"{batch.lengths[these.index(i)]} tokens{answer}")
        if long:
            waiting.append([i for i in these if i not in errors])
        else:
            batches.append((these, batch))
    return batches, errors


def _too_long(model: Model, what: str) -> ItemTooLong:
    return ItemTooLong(f"the item has {what}; {model.name} takes {model.context} tokens")


def _process(model: Model, prompts: Sequence[Prompt], padding_side: Side) -> Batch:
    images = [m for p in prompts for m in p.media if not isinstance(m, Video)]
    videos = [m for p in prompts for m in p.media if isinstance(m, Video)]
    arguments: dict[str, Any] = {"text": render(model, prompts)}
    if images:
        arguments["images"] = images
    if videos:
        arguments["videos"] = [v.frames for v in videos]
        arguments["videos_kwargs"] = {
            "do_sample_frames": False,
            "video_metadata": [_metadata(v) for v in videos],
        }
    bos = model.processor.tokenizer.bos_token
    inputs = model.processor(
        **arguments,
        padding=True,
        padding_side=padding_side,
        return_tensors="pt",
        # As transformers does: a template that writes the first token itself must not get it twice.
        add_special_tokens=not (bos and arguments["text"][0].startswith(bos)),
    )
    inputs.pop("video_metadata", None)
    return Batch(dict(inputs), inputs["attention_mask"].sum(1).tolist())


def render(model: Model, prompts: Sequence[Prompt]) -> list[str]:
    """The chat prompts as text, with the model's placeholders where media stand: where the question's
    `<image>` marks are, or before it if it has none.

    Raises ValueError where there are marks, and not as many as media.
    """
    ordered = any(MARK in p.question for p in prompts) and _keeps_order(model)
    turns = [[{"role": "user", "content": _content(model, prompt, ordered)}] for prompt in prompts]
    return _templated(model, turns)


def _content(model: Model, prompt: Prompt, ordered: bool) -> list[dict[str, str]]:
    kinds = ["video" if isinstance(m, Video) else "image" for m in prompt.media]
    pieces = prompt.question.split(MARK)
    if len(pieces) == 1:
        return [*({"type": kind} for kind in kinds), {"type": "text", "text": prompt.question}]
    if len(pieces) != len(kinds) + 1:
        raise ValueError(f"the question has {len(pieces) - 1} {MARK} marks, and there are {len(kinds)} media")
    if not ordered:
        tokens = [getattr(model.processor, f"{kind}_token") for kind in kinds]
        text = pieces[0] + "".join(token + piece for token, piece in zip(tokens, pieces[1:], strict=True))
        return [{"type": "text", "text": text}]
    content = [{"type": "text", "text": pieces[0]}]
    for kind, piece in zip(kinds, pieces[1:], strict=True):
        content += [{"type": kind}, {"type": "text", "text": piece}]
    return [part for part in content if part.get("text") != ""]


def _keeps_order(model: Model) -> bool:
    """Whether the chat template leaves media where they stand. Some, as LLaVA-OneVision's, write all
    of them first; there the placeholder itself goes into the text, as published."""
    content = [{"type": "text", "text": "before"}, {"type": "image"}, {"type": "text", "text": "behind"}]
    [text] = _templated(model, [[{"role": "user", "content": content}]])
    return "behind" in text and bool(text.partition("before")[2].partition("behind")[0].strip())


def _templated(model: Model, turns: list[Any]) -> list[str]:
    text: list[str] = model.processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    return text


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

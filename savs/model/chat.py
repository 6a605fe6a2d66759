"""Writes an item as the checkpoint's chat prompt.

An item is one user turn: its media in order, then the question; or, if the question has `<image>`
marks, each image or video at the position of its mark. Then comes the generation prompt, so that the
model's answer would begin after the last token.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

MARK = "<image>"  # position of the next image or video in a question
FALLBACK = "USER: {} ASSISTANT:"  # LLaVA-1.5's, for checkpoints without a chat template

MediaKind = Literal["image", "video"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chat:
    """How a checkpoint's prompts are written.

    source       source of the chat template; "fallback" is FALLBACK
    template     Jinja, if it is not the processor's own
    parts        whether the template takes media and texts separately; else it takes one text with the
                 processor's placeholders in it
    keeps_order  whether the template keeps the order of the parts. Some, such as LLaVA-OneVision's,
                 write all media first
    """

    source: Literal["processor", "tokenizer", "fallback"]
    template: str | None = None
    parts: bool = True
    keeps_order: bool = True


def find_chat(processor: Any, name: str) -> Chat:
    """Find how prompts of the checkpoint `name` are written.

    The chat template is the processor's, else the tokenizer's, else FALLBACK, with a warning.
    A tokenizer's template may be that of a language model, which takes no parts.
    """
    if getattr(processor, "chat_template", None):
        chat = Chat("processor")
        return replace(chat, keeps_order=_keeps_order(processor, chat))
    template = getattr(processor.tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default")
    for parts in (True, False):
        chat = Chat("tokenizer", template, parts)
        if template and _shows_all(processor, chat):
            return replace(chat, keeps_order=not parts or _keeps_order(processor, chat))
    log.warning(
        "%s has no usable chat template; its prompts are written as %r, media first",
        name,
        FALLBACK.format("…"),
    )
    return Chat("fallback", parts=False)


def write(processor: Any, chat: Chat, kinds: Sequence[MediaKind], question: str) -> str:
    """The chat prompt of one item, with the processor's placeholders at the positions of its media.

    kinds  kinds of its media, in their order

    Raises ValueError if the question has marks, but not as many as there are media, or if the
    template refuses the item.
    """
    texts = question.split(MARK)
    if 1 < len(texts) != len(kinds) + 1:
        raise ValueError(f"the question has {len(texts) - 1} {MARK} marks, but there are {len(kinds)} media")
    if chat.parts and (chat.keeps_order or len(texts) == 1):
        return _templated(processor, chat, _parts(kinds, texts))
    placeholders = [_placeholder(processor, kind) for kind in kinds]
    if len(texts) == 1:
        text = "".join(f"{placeholder}\n" for placeholder in placeholders) + question
    else:
        behind = zip(placeholders, texts[1:], strict=True)
        text = texts[0] + "".join(placeholder + piece for placeholder, piece in behind)
    if chat.source == "fallback":
        return FALLBACK.format(text)
    return _templated(processor, chat, [{"type": "text", "text": text}] if chat.parts else text)


def _parts(kinds: Sequence[MediaKind], texts: list[str]) -> list[dict[str, str]]:
    media: list[dict[str, str]] = [{"type": kind} for kind in kinds]
    if len(texts) == 1:
        return [*media, {"type": "text", "text": texts[0]}]
    parts = [{"type": "text", "text": texts[0]}]
    for part, text in zip(media, texts[1:], strict=True):
        parts += [part, {"type": "text", "text": text}]
    return [part for part in parts if part.get("text") != ""]


def _templated(processor: Any, chat: Chat, content: list[dict[str, str]] | str) -> str:
    from jinja2 import TemplateError

    turn = {"role": "user", "content": content}
    own = {} if chat.template is None else {"chat_template": chat.template}
    try:
        # One at a time: SmolVLM's processor uses another template if any of several items has a video.
        text: str = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False, **own)
    except TemplateError as error:
        raise ValueError(f"the chat template refuses the item: {error}") from error
    return text


def _placeholder(processor: Any, kind: MediaKind) -> str:
    """The placeholder of an image or a video in a text; empty if the processor puts images before the
    text by itself."""
    return getattr(processor, f"{kind}_token", None) or ""


def _keeps_order(processor: Any, chat: Chat) -> bool:
    content = [{"type": "text", "text": "before"}, {"type": "image"}, {"type": "text", "text": "behind"}]
    try:
        text = _templated(processor, chat, content)
    except (ValueError, TypeError, KeyError):
        return False
    return "behind" in text and bool(text.partition("before")[2].partition("behind")[0].strip())


def _shows_all(processor: Any, chat: Chat) -> bool:
    """Return whether the template writes an image and a question, and none of the structure in which
    it receives them."""
    try:
        text = write(processor, chat, ("image",), "What is this?")
    except (ValueError, TypeError, KeyError):
        return False
    return "What is this?" in text and _placeholder(processor, "image") in text and "'type'" not in text

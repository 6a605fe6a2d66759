"""Zero-shot answers of the model: its generated text, or the likelihood of each class name.

The baseline that Sparse Attention Vectors are measured against. Greedy generation is the published one
(its text is compared with the label as it is); `likeliest` only ever returns a class. Both use the same
prompts as `extract`. Rows are padded on the left here, because every row's next token must be in the same
column.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from itertools import takewhile
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

from savs.engine.forward import REGISTERING, onto_device
from savs.engine.prompts import Processed, Prompt, preprocess
from savs.errors import ItemError, SettingsError, UnsupportedModel, UnusableVectors
from savs.model.model import Model
from savs.timings import Timings

if TYPE_CHECKING:
    import torch

Tokens = tuple[int, ...]
T = TypeVar("T")


def generate(
    model: Model, prompts: Sequence[Prompt], max_new_tokens: int, timings: Timings | None = None
) -> list[str | ItemError]:
    """Return the text that the model generates for each prompt: greedily, in one batch, up to an end token
    or `max_new_tokens`.

    The text is stripped and has no special tokens. A prompt that the processor refuses, or that leaves
    too little room for such an answer in the model's context, has its error instead.
    """
    return _ask(model, prompts, max_new_tokens, timings, lambda batch: _say(model, batch, max_new_tokens))


def likeliest(
    model: Model, prompts: Sequence[Prompt], classes: Sequence[str], timings: Timings | None = None
) -> list[dict[str, float] | ItemError]:
    """Return the likelihood of each class as the answer to each prompt, in the classes' order.

    It is the softmax, over the classes, of the summed log-likelihood of the tokens of a class's name
    directly after the generation prompt. Tokens after the name do not count, so a class whose name is a
    prefix of another's is never the less likely of the two.

    One forward pass serves all names of one token. Each longer name needs a further short pass on the
    cache of the first, unless the pass of another name covers it. Errors as in `generate`; raises
    UnsupportedModel if a name has no tokens.
    """
    if not classes:
        raise SettingsError("no classes given; constrained answers need at least one")
    spelt = [_spell(model, name) for name in classes]
    longest = max(map(len, spelt))
    return _ask(model, prompts, longest, timings, lambda batch: _choose(model, batch, classes, spelt))


def _ask(
    model: Model,
    prompts: Sequence[Prompt],
    tokens: int,
    timings: Timings | None,
    answer: Callable[[Processed], list[T | ItemError]],
) -> list[T | ItemError]:
    """Return answers of up to `tokens` tokens. The last of them is never an input of the model."""
    timings = timings or Timings()
    with timings.stage("preprocess"):
        batches, errors = preprocess(model, prompts, padding_side="left", room=tokens - 1)
    answers: dict[int, T | ItemError] = dict(errors)
    for positions, batch in batches:
        with timings.stage("forward"):
            answers |= zip(positions, answer(batch), strict=True)
    return [answers[i] for i in range(len(prompts))]


def _say(model: Model, batch: Processed, max_new_tokens: int) -> list[str | ItemError]:
    import torch

    inputs = onto_device(model, batch.inputs)
    broken = torch.zeros(len(batch.lengths), dtype=torch.bool)

    def look(logits: torch.Tensor) -> None:
        broken.logical_or_(logits[:, -1].isnan().any(-1).cpu())

    with _listening(model, look):
        said = _generate(model, inputs, max_new_tokens).sequences[:, inputs["input_ids"].shape[1] :]
    ends = set(_ends(model))  # may include tokens that are not special
    with model.preparing:
        texts = model.processor.tokenizer.batch_decode(
            [list(takewhile(lambda token: token not in ends, row)) for row in said.tolist()],
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
    return [_unusable(model) if bad else text.strip() for bad, text in zip(broken, texts, strict=True)]


def _choose(
    model: Model, batch: Processed, classes: Sequence[str], spelt: Sequence[Tokens]
) -> list[dict[str, float] | ItemError]:
    shares = _log_likelihoods(model, batch, spelt).softmax(-1)
    return [
        dict(zip(classes, row.tolist(), strict=True)) if row.isfinite().all() else _unusable(model)
        for row in shares
    ]


def _spell(model: Model, name: str) -> Tokens:
    with model.preparing:
        tokens = tuple(model.processor.tokenizer(name, add_special_tokens=False)["input_ids"])
    if not tokens:
        raise UnsupportedModel(f"{model.name} has no token for the class {name!r}")
    return tokens


def _log_likelihoods(model: Model, batch: Processed, spelt: Sequence[Tokens]) -> "torch.Tensor":
    """Return float64 [n, classes]: log p(tokens of the class | prompt)."""
    import torch

    inputs = onto_device(model, batch.inputs)
    sums = torch.zeros(len(batch.lengths), len(spelt), dtype=torch.float64)
    counted: set[Tokens] = set()

    def count(prefix: Tokens, logits: torch.Tensor) -> None:
        """Add the log-likelihoods in `logits` [n, vocabulary] of the tokens after `prefix`."""
        if prefix in counted:
            return
        counted.add(prefix)
        at = len(prefix)
        going_on = [i for i, tokens in enumerate(spelt) if len(tokens) > at and tokens[:at] == prefix]
        logs = logits.float().log_softmax(-1)[:, [spelt[i][at] for i in going_on]]
        sums[:, going_on] += logs.cpu().double()

    logits, cache = _pass(model, inputs, 1)
    count((), logits[:, 0])
    for path in _paths(spelt):
        # Copied, because not every kind of cache can be cropped to the end of the prompts.
        logits, _ = _pass(model, _grown(inputs, path), len(path), past_key_values=copy.deepcopy(cache))
        for at in range(len(path)):
            count(path[: at + 1], logits[:, at])
    return sums


def _pass(model: Model, inputs: dict[str, Any], keep: int, **more: Any) -> "tuple[torch.Tensor, Any]":
    """Run one forward pass. Return the logits at the last `keep` tokens [n, keep, vocabulary] and the cache.

    It uses `generate`, which computes every model's positions after padding and media.
    """
    kept: list[torch.Tensor] = []
    with _listening(model, lambda logits: kept.append(logits[:, -keep:].clone())):
        cache = _generate(model, inputs, 1, keep, **more).past_key_values
    return kept[0], cache


def _paths(spelt: Sequence[Tokens]) -> list[Tokens]:
    """Return all tokens but the last of each name with several tokens, except paths that begin a longer
    path."""
    paths = {tokens[:-1] for tokens in spelt if len(tokens) > 1}
    return sorted(paths - {path[:at] for path in paths for at in range(1, len(path))})


def _grown(inputs: dict[str, Any], path: Tokens) -> dict[str, Any]:
    """Return the inputs with `path` appended to every row, and without the media, which are in the cache."""
    import torch

    grown = {}
    for name, value in inputs.items():
        if name in ("input_ids", "attention_mask") or name.endswith("token_type_ids"):
            fill = path if name == "input_ids" else [int(name == "attention_mask")] * len(path)
            more = torch.tensor(fill, dtype=value.dtype, device=value.device).expand(len(value), -1)
            grown[name] = torch.cat([value, more], dim=1)
    return grown


def _generate(model: Model, inputs: dict[str, Any], tokens: int, keep: int = 1, **more: Any) -> Any:
    """Generate up to `tokens` tokens greedily. Only the last `keep` tokens of the prompts get logits, if
    the model can omit the others.

    Of the checkpoint's own generation settings only the end tokens are used, not its temperatures,
    penalties or suppressed tokens.
    """
    import torch
    from transformers import GenerationConfig

    network = model.network
    if not network.can_generate():
        raise UnsupportedModel(f"{type(network).__name__} cannot generate text")
    if "logits_to_keep" in signature(network.forward).parameters:
        more["logits_to_keep"] = keep
    own, ends = network.generation_config, _ends(model)
    network.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=ends[0])
    try:
        with torch.inference_mode():
            return network.generate(
                **inputs, **more, max_new_tokens=tokens, do_sample=False, return_dict_in_generate=True
            )
    finally:
        network.generation_config = own


def _ends(model: Model) -> list[int]:
    """Return the tokens that end an answer: the checkpoint's and its tokenizer's. Raises UnsupportedModel
    if there are none."""
    own = model.network.generation_config.eos_token_id
    found = [*(own if isinstance(own, list) else [own]), model.processor.tokenizer.eos_token_id]
    ends = list(dict.fromkeys(token for token in found if token is not None))
    if not ends:
        raise UnsupportedModel(f"{model.name} has no token that ends an answer")
    return ends


@contextmanager
def _listening(model: Model, hear: "Callable[[torch.Tensor], None]") -> Iterator[None]:
    """Call `hear` with the logits [n, tokens, vocabulary] of every forward pass of this thread."""
    thread = get_ident()

    def own(module: Any, arguments: Any, out: Any) -> None:
        if get_ident() == thread:
            hear(out.logits)

    with REGISTERING:
        hook = model.network.register_forward_hook(own)
    try:
        yield
    finally:
        hook.remove()


def _unusable(model: Model) -> UnusableVectors:
    return UnusableVectors(f"{model.name} returned NaN or infinity")

"""The self-test: models whose vectors depend on the rest of the batch are refused when they are loaded."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

import savs
from savs.engine.forward import read_heads
from savs.engine.prompts import Prompt, preprocess
from savs.errors import UnsupportedModel
from savs.loading import wrap
from savs.trials.self_test import run_self_test


@pytest.fixture
def parts(qwen2_vl: Path) -> tuple[Any, Any]:
    """A network and its processor, to be broken."""
    network = AutoModelForImageTextToText.from_pretrained(qwen2_vl, dtype=torch.float32)
    return network.eval(), AutoProcessor.from_pretrained(qwen2_vl)


def attention_that_ignores_the_mask(network: Any, processor: Any) -> None:
    """As a bidirectional decoder without padding in mind."""
    for layer in network.get_decoder().layers:
        attend = layer.self_attn.forward
        layer.self_attn.is_causal = False
        layer.self_attn.forward = lambda *given, attend=attend, **named: attend(
            *given, **(named | {"attention_mask": None})
        )


def positions_that_depend_on_the_padding(network: Any, processor: Any) -> None:
    """As rotary embeddings that are stretched by the longest row of the batch."""
    rotary = network.get_decoder().rotary_emb
    turn = rotary.forward
    rotary.forward = lambda x, position_ids: turn(x, position_ids * (x.shape[1] / 20.0))


def last_layer_that_sees_its_neighbour(network: Any, processor: Any) -> None:
    """As a layer that mixes rows."""
    network.get_decoder().layers[-1].self_attn.v_proj.register_forward_hook(
        lambda module, given, out: out + out.roll(1, dims=0) if len(out) > 1 else out
    )


def processor_that_pads_on_the_left(network: Any, processor: Any) -> None:
    """As one that does not listen to what it is asked."""
    call = type(processor.tokenizer).__call__

    class Left(type(processor.tokenizer)):  # type: ignore[misc]
        def __call__(self, *given: Any, **named: Any) -> Any:
            return call(self, *given, **(named | {"padding_side": "left"}))

    processor.tokenizer.__class__ = Left


Breakage = Callable[[Any, Any], None]
BREAKAGES = [
    attention_that_ignores_the_mask,
    positions_that_depend_on_the_padding,
    last_layer_that_sees_its_neighbour,
    processor_that_pads_on_the_left,
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("break_it", BREAKAGES)
def test_a_model_whose_vectors_depend_on_the_batch_is_refused(
    parts: tuple[Any, Any], break_it: Breakage, dtype: torch.dtype
) -> None:
    # given a model that gives vectors as always, but not the same in a padded batch
    network, processor = parts
    break_it(network.to(dtype), processor)
    # then it is refused, with what was compared, and with what loads it all the same
    with pytest.raises(UnsupportedModel, match=r"alone and the same prompt padded.*cosine.*--skip-self-test"):
        wrap(network, processor, "broken", "local", "")
    assert wrap(network, processor, "broken", "local", "", self_test=False).name == "broken"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_model_that_is_right_passes_in_every_precision(qwen2_5_vl: Path, dtype: str) -> None:
    assert savs.load_model(qwen2_5_vl, device="cpu", dtype=dtype).dtype == dtype


def test_the_first_layer_that_differs_is_named(parts: tuple[Any, Any]) -> None:
    network, processor = parts
    last_layer_that_sees_its_neighbour(network, processor)
    with pytest.raises(UnsupportedModel, match="in layer 2 is 0"):
        wrap(network, processor, "broken", "local", "")


def test_a_model_that_answers_with_nan_is_refused(parts: tuple[Any, Any]) -> None:
    network, processor = parts
    network.get_decoder().layers[0].self_attn.q_proj.weight.data[:] = float("nan")
    with pytest.raises(UnsupportedModel, match="nan"):
        wrap(network, processor, "broken", "local", "")


def test_a_model_that_refuses_what_its_processor_makes_is_refused(parts: tuple[Any, Any]) -> None:
    # given a model that takes another token for a picture's place than its processor
    network, processor = parts
    network.config.image_token_id = network.model.config.image_token_id = 7
    with pytest.raises(UnsupportedModel, match=r"refuses the output of its own processor: .*not match"):
        wrap(network, processor, "broken", "local", "")


def test_a_processor_that_refuses_a_picture_is_told_of(parts: tuple[Any, Any]) -> None:
    network, processor = parts
    processor.chat_template = processor.chat_template.replace("<|image_pad|>", "")
    with pytest.raises(UnsupportedModel, match="self-test failed: the processor refuses the item"):
        wrap(network, processor, "broken", "local", "")


def test_a_model_without_pictures_is_tried_on_texts(qwen2: savs.Model) -> None:
    class Wordy:
        """A processor that takes texts alone."""

        def __init__(self, processor: Any) -> None:
            self.tokenizer = processor.tokenizer
            self.apply_chat_template = processor.apply_chat_template

        def __call__(self, text: list[str], **options: Any) -> Any:
            return self.tokenizer(text, **options)

    run_self_test(replace(qwen2, processor=Wordy(qwen2.processor)))


def test_the_self_test_costs_three_small_forwards(qwen2: savs.Model) -> None:
    sizes: list[tuple[int, ...]] = []
    layer = qwen2.network.get_decoder().layers[0]
    hook = layer.register_forward_pre_hook(lambda module, given: sizes.append(given[0].shape[:2]))
    try:
        run_self_test(qwen2)
    finally:
        hook.remove()
    # a short prompt, a longer one, and the two together
    [(_, short), (_, long), both] = sizes
    assert both == (2, long)
    assert short < long < 80


def test_a_width_that_is_not_as_found_is_refused_even_without_the_self_test(parts: tuple[Any, Any]) -> None:
    # given a projection that says it takes more than it is handed
    network, processor = parts
    model = wrap(network, processor, "narrow", "local", "", self_test=False)
    wider = replace(model.projections[1].heads, head_dim=17)
    lying = replace(
        model,
        projections=(model.projections[0], replace(model.projections[1], heads=wider), model.projections[2]),
    )
    [(_, batch)], _ = preprocess(lying, [Prompt((), "Why?")])
    with pytest.raises(UnsupportedModel, match="layer 1: expected 68 values from all heads, found 64"):
        read_heads(lying, batch)


def test_a_checkpoint_that_fails_is_refused_unless_the_self_test_is_skipped(stretched: Path) -> None:
    with pytest.raises(UnsupportedModel, match="self-test failed"):
        savs.load_model(stretched, device="cpu")
    assert savs.load_model(stretched, device="cpu", self_test=False).name == str(stretched)

"""What savs reads from every type of model in transformers, held against what its attention gives.

The names of the known traps are in the names of the tests.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoConfig

from savs.errors import UnsupportedModel
from savs.model.heads import HeadProjection, LayerHeads, find_projections
from tests.survey.comparing import AS_GIVEN, FOREIGN, GATED, NORMALISED, compare, compare_in
from tests.survey.configs import INCOMPLETE, TYPES, build, default_config
from tests.survey.looking import look
from tests.survey.shrinking import shrink
from tests.survey.table import TITLE, section

DOCS = Path(__file__).parents[3] / "docs" / "models.md"
REFUSED = {  # and the step of the rule that refuses it
    "blip": 2,
    "diffusion_gemma": 1,
    "florence2": 1,
    "git": 2,
    "pi0": 2,
    "pix2struct": 1,
    "pp_formulanet": 1,
    "t5gemma2": 1,
    "udop": 1,
    "vision-encoder-decoder": 1,
}
READ = [type_ for type_ in TYPES if type_ not in REFUSED]

# Released checkpoints: type, hidden size, layers, heads, key/value heads, head_dim where the config gives
# one; then what must be read: layers, heads, width. Written down by hand.
RELEASED = {
    "Aria-25B": ("aria", 2560, 28, 20, 20, None, (28, 20, 128)),
    "Aya-Vision-8B": ("aya_vision", 4096, 32, 32, 8, None, (32, 32, 128)),
    "BLIP-2-OPT-2.7B": ("blip-2", 2560, 32, 32, None, None, (32, 32, 80)),
    "Chameleon-7B": ("chameleon", 4096, 32, 32, 32, None, (32, 32, 128)),
    "DeepSeek-VL-7B": ("deepseek_vl", 4096, 30, 32, 32, None, (30, 32, 128)),
    "Fuyu-8B": ("fuyu", 4096, 36, 64, None, None, (36, 64, 64)),
    "Gemma-3-4B": ("gemma3", 2560, 34, 8, 4, 256, (34, 8, 256)),
    "Gemma-3-27B": ("gemma3", 5376, 62, 32, 16, 128, (62, 32, 128)),
    "GLM-4.1V-9B": ("glm4v", 4096, 40, 32, 2, None, (40, 32, 128)),
    "GLM-4.5V": ("glm4v_moe", 4096, 46, 96, 8, 128, (46, 96, 128)),
    "GOT-OCR-2.0": ("got_ocr2", 1024, 24, 16, 16, None, (24, 16, 64)),
    "Idefics2-8B": ("idefics2", 4096, 32, 32, 8, None, (32, 32, 128)),
    "Idefics3-8B": ("idefics3", 4096, 32, 32, 8, None, (32, 32, 128)),
    "InternVL3-1B": ("internvl", 896, 24, 14, 2, None, (24, 14, 64)),
    "InternVL3-8B": ("internvl", 3584, 28, 28, 4, None, (28, 28, 128)),
    "Janus-Pro-7B": ("janus", 4096, 30, 32, 32, None, (30, 32, 128)),
    "Llama-4-Scout": ("llama4", 5120, 48, 40, 8, 128, (48, 40, 128)),
    "LLaVA-1.5-13B": ("llava", 5120, 40, 40, 40, None, (40, 40, 128)),
    "LLaVA-NeXT-7B": ("llava_next", 4096, 32, 32, 32, None, (32, 32, 128)),
    "LLaVA-OneVision-7B": ("llava_onevision", 3584, 28, 28, 4, None, (28, 28, 128)),
    "Mistral-Small-3.1-24B": ("mistral3", 5120, 40, 32, 8, 128, (40, 32, 128)),
    "PaddleOCR-VL": ("paddleocr_vl", 1024, 18, 16, 2, 128, (18, 16, 128)),
    "PaliGemma-3B": ("paligemma", 2048, 18, 8, 1, 256, (18, 8, 256)),
    "Qwen2-VL-7B": ("qwen2_vl", 3584, 28, 28, 4, None, (28, 28, 128)),
    "Qwen2.5-VL-3B": ("qwen2_5_vl", 2048, 36, 16, 2, None, (36, 16, 128)),
    "Qwen3-VL-4B": ("qwen3_vl", 2560, 36, 32, 8, 128, (36, 32, 128)),
    "Qwen3-VL-30B-A3B": ("qwen3_vl_moe", 2048, 48, 32, 4, 128, (48, 32, 128)),
    "SmolVLM-256M": ("smolvlm", 576, 30, 9, 3, None, (30, 9, 64)),
    "SmolVLM2-2.2B": ("smolvlm", 2048, 24, 32, 32, None, (24, 32, 64)),
}


@pytest.mark.parametrize("type_", READ)
def test_what_is_read_is_what_attention_gave(type_: str) -> None:
    # given a small decoder, whose attention functions are overheard
    compared = compare(type_)
    # then every head that is read is one of those that attention gave, in its place
    assert {layer.relation for layer in compared.layers} <= {AS_GIVEN, GATED, NORMALISED}
    # and no attention to the text itself went unread
    assert not [module for module in compared.missed if not getattr(module, "is_cross_attention", False)]


@pytest.mark.parametrize("type_", sorted(REFUSED))
def test_a_type_without_such_heads_is_refused_and_told_the_step(type_: str) -> None:
    assert look(type_).refusal is not None
    assert f"(step {REFUSED[type_]} of savs/model/heads.py)" in str(look(type_).refusal)


def test_the_table_in_the_docs_is_what_the_survey_finds() -> None:
    written = DOCS.read_text(encoding="utf-8")
    start = written.index(TITLE)
    [mine, *_] = written[start + len(TITLE) :].split("\n## ")
    assert (TITLE + mine).rstrip() == section()  # `python -m tests.survey` prints what it should be


@pytest.mark.parametrize("type_", sorted(INCOMPLETE))
def test_a_default_config_that_is_called_incomplete_cannot_be_built(type_: str) -> None:
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        build(type_, AutoConfig.for_model(type_))


@pytest.mark.parametrize("name", sorted(RELEASED))
def test_the_heads_of_released_checkpoints_are_counted_right(name: str) -> None:
    type_, hidden, layers, heads, shared, head_dim, expected = RELEASED[name]
    config = released(type_, hidden, layers, heads, shared, head_dim)
    projections = find_projections(build(type_, config))
    assert [(p.heads.heads, p.heads.head_dim) for p in projections] == [expected[1:]] * expected[0]


def released(
    type_: str, hidden: int, layers: int, heads: int, shared: int | None, head_dim: int | None
) -> Any:
    """A type's default config, with the numbers of a released checkpoint."""
    config = default_config(type_)
    text = config.get_text_config(decoder=True)
    numbers = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}
    if shared is not None:
        numbers["num_key_value_heads"] = shared
    if type_ == "blip-2":
        numbers["word_embed_proj_dim"] = hidden
    # an explicit None would be taken for a width; otherwise the width follows from the rest
    again = type(text)(**numbers, **({"head_dim": head_dim} if head_dim else {}))
    if text is config:
        again.vocabulary_map = {"<image>": 4}
        return again
    [name] = [n for n, value in vars(config).items() if value is text]
    setattr(config, name, again)
    return config


# The known traps.


def test_idefics_heads_are_the_decoders_and_not_the_vision_towers() -> None:
    # its vision tower stands before its decoder's layers, and has as many of them
    assert look("idefics").paths == ("model.layers.N.self_attn.o_proj",)
    # its gated cross-attention to pictures is an attention, and left out
    assert len(compare("idefics").layers) == 3
    assert all(module.is_cross_attention for module in compare("idefics").missed)


def test_florence2_would_be_taken_for_its_decoder_and_is_refused_as_an_encoder_decoder() -> None:
    # the prompt goes through BART's encoder: at the decoder's last token nothing of it has been said yet
    network = build("florence2", default_config("florence2"))
    network.config.is_encoder_decoder = False
    assert find_projections(network)
    network.config.is_encoder_decoder = True
    with pytest.raises(UnsupportedModel, match="Florence2ForConditionalGeneration is an encoder-decoder"):
        find_projections(network)


def test_nemotron_h_omni_has_heads_in_its_attention_layer_alone() -> None:
    # its Mamba layers have an `out_proj` too, but no queries
    found = look("nemotron_h_omni")
    assert found.paths == ("language_model.model.layers.N.mixer.o_proj",)
    assert [layer.layer for layer in found.layers] == [2]


@pytest.mark.parametrize("type_", ["udop", "pix2struct"])
def test_the_wo_of_an_mlp_is_never_taken_for_a_projection_of_heads(type_: str) -> None:
    # given T5's way of calling an MLP's last layer `wo`, in a model that does not say what it is
    network = build(type_, default_config(type_))
    network.config.is_encoder_decoder = False
    with pytest.raises(UnsupportedModel):
        find_projections(network)


@pytest.mark.parametrize("type_", ["blip", "git", "vision-encoder-decoder"])
def test_a_dense_that_does_not_stand_beside_the_queries_is_not_a_projection_of_heads(type_: str) -> None:
    # BERT's layers have three modules called `dense`; the right one is not in the module of the queries
    network = build(type_, default_config(type_))
    network.config.is_encoder_decoder = False
    with pytest.raises(UnsupportedModel, match=r"no list of .* decoder layers with self-attention"):
        find_projections(network)


def test_dots3_note_has_twice_as_many_heads_in_its_indexed_layers() -> None:
    network = build("dots3_note", default_config("dots3_note"))
    kinds = network.config.text_config.layer_types
    expected = [(128 if kind == "indexed_attention" else 64, 128) for kind in kinds]
    assert [(p.heads.heads, p.heads.head_dim) for p in find_projections(network)] == expected
    # even if its attention did not count them itself, and only the config of each layer did
    for layer in network.get_decoder().layers:
        del layer.self_attn.num_heads
    assert [(p.heads.heads, p.heads.head_dim) for p in find_projections(network)] == expected


@pytest.mark.parametrize("type_", ["kimi_k25", "mistral4", "mistral_large4", "glm5_next"])
def test_the_width_of_latent_attentions_heads_is_that_of_the_values(type_: str) -> None:
    # given queries and keys of 16 + 24 numbers, and values of 20
    config = shrink(type_, default_config(type_))
    text = config.get_text_config(decoder=True)
    text.qk_rope_head_dim, text.qk_nope_head_dim, text.v_head_dim = 16, 24, 20
    text.qk_head_dim = text.head_dim = 40
    projections = find_projections(build(type_, config))
    assert {(p.heads.heads, p.heads.head_dim) for p in projections} == {(6, 20)}


def test_gemma4_has_heads_of_two_widths_although_its_config_has_none_to_give() -> None:
    text = default_config("gemma4").text_config
    with pytest.raises(RuntimeError, match="head_dim"):
        _ = text.head_dim
    widths = {"sliding_attention": 256, "full_attention": 512}
    assert [layer.head_dim for layer in look("gemma4").layers] == [widths[kind] for kind in text.layer_types]


@pytest.mark.parametrize(
    "changes", [{"num_kv_shared_layers": 6}, {"attention_k_eq_v": True}], ids=["shared", "equal"]
)
def test_gemma4_layers_without_keys_or_values_of_their_own_are_read(changes: dict[str, Any]) -> None:
    # given twelve layers, of which the last use the keys of earlier ones; or values that are the keys
    kinds = (["sliding_attention"] * 5 + ["full_attention"]) * 2
    text = {"num_hidden_layers": 12, "layer_types": kinds, **changes}
    compared = compare_in("gemma4", shrink("gemma4", transformers.Gemma4Config(text_config=text)))
    assert {layer.relation for layer in compared.layers} == {AS_GIVEN}
    assert compared.missed == []


def test_qwen3_5_is_read_after_its_gate_and_without_its_linear_attention() -> None:
    found = look("qwen3_5")
    assert [layer.layer for layer in found.layers] == list(range(3, 32, 4))
    # the projection sees attention's output times a gate per number, so this is what votes
    [layer] = compare("qwen3_5").layers
    assert layer.relation == GATED
    gates = layer.read / layer.given
    assert gates.min() > 0 and gates.max() < 1


def test_glm5_next_linear_attention_is_left_out_although_it_is_called_self_attn() -> None:
    # its recurrent layers have q_proj, k_proj, v_proj and o_proj under the very names of attention
    kinds = default_config("glm5_next").text_config.layer_types
    full = [number for number, kind in enumerate(kinds) if kind == "indexed_attention"]
    assert [layer.layer for layer in look("glm5_next").layers] == full


def test_mllama_layers_that_attend_to_the_picture_are_left_out() -> None:
    crossing = default_config("mllama").text_config.cross_attention_layers
    assert len(crossing) == 8
    read = [layer.layer for layer in look("mllama").layers]
    assert read == [number for number in range(40) if number not in crossing]


def test_gemma3n_layers_that_use_the_keys_of_earlier_ones_are_read() -> None:
    assert len(look("gemma3n").layers) == 35  # of which the last 15 have no keys and values


def test_step3p7_may_have_other_numbers_of_heads_in_sliding_layers() -> None:
    config = default_config("step3p7")
    config.text_config = type(config.text_config)(
        num_hidden_layers=3,
        layer_types=["full_attention", "sliding_attention", "full_attention"],
        num_sliding_attention_heads=96,
        sliding_window=512,
    )
    projections = find_projections(build("step3p7", config))
    assert [p.heads.heads for p in projections] == [64, 96, 64]


def test_kosmos_2_is_read_after_a_norm_over_all_its_heads() -> None:
    assert {layer.relation for layer in compare("kosmos-2").layers} == {NORMALISED}


def test_diffusion_gemma_is_refused_because_its_decoder_sees_a_random_canvas() -> None:
    # its config does not call it an encoder-decoder, but the prompt goes into another part
    network = build("diffusion_gemma", default_config("diffusion_gemma"))
    assert not network.config.is_encoder_decoder
    with pytest.raises(UnsupportedModel, match="its decoder does not read the prompt"):
        find_projections(network)


@pytest.mark.parametrize("type_", ["blip-2", "instructblip"])
def test_with_t5_inside_blip2_and_its_kin_are_refused(type_: str) -> None:
    small = {"num_layers": 2, "d_model": 32, "d_kv": 8, "d_ff": 32, "num_heads": 2, "vocab_size": 64}
    config = type(default_config(type_))(text_config={"model_type": "t5", **small})
    with pytest.raises(UnsupportedModel, match=r"step 1 of savs/model/heads\.py"):
        find_projections(build(type_, config))


def test_a_layer_that_is_called_attention_and_has_none_is_refused() -> None:
    network = build("qwen3_5", default_config("qwen3_5"))
    del network.get_decoder().layers[7].self_attn
    with pytest.raises(UnsupportedModel, match=r"layer 7 is called 'full_attention'.*step 3"):
        find_projections(network)


def test_layers_that_share_one_attention_are_refused() -> None:
    # given Zamba's way of using one attention in many layers: only its last use would be read
    network = build("llava", default_config("llava"))
    layers = network.get_decoder().layers
    layers[9].self_attn = layers[3].self_attn
    with pytest.raises(UnsupportedModel, match="several layers share one attention"):
        find_projections(network)


def test_heads_that_are_counted_wrong_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a rule that finds half as many heads, twice as wide
    def halve(network: Any) -> list[HeadProjection]:
        return [
            HeadProjection(LayerHeads(p.heads.layer, p.heads.heads // 2, p.heads.head_dim * 2), p.module)
            for p in find_projections(network)
        ]

    monkeypatch.setattr("tests.survey.comparing.find_projections", halve)
    layers = compare_in("qwen3_vl", shrink("qwen3_vl", default_config("qwen3_vl"))).layers
    # then the comparison above says so, although the numbers that were read are the same
    assert {layer.relation for layer in layers} == {FOREIGN}
    assert all(torch.equal(layer.read.flatten(), layer.given.flatten()) for layer in layers)

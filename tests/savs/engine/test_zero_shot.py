"""Zero-shot answers: as one prompt at a time without a cache would give them, however they are batched."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

import savs
from savs.data.video.sampling import Video
from savs.engine.forward import onto_device
from savs.engine.prompts import preprocess
from savs.engine.zero_shot import generate, likeliest
from savs.errors import (
    ItemError,
    ItemTooLong,
    SettingsError,
    UnsupportedModel,
    UnusablePrompt,
    UnusableVectors,
)
from tests.savs.data.drawing import draw, noise

FRAMES = np.stack([np.asarray(noise(84, 84, seed)) for seed in range(8)])
CLIP = Video(FRAMES, tuple(range(8)), 4.0, 8)
PROMPTS = [
    savs.Prompt((draw("star", 1),), "What shape is it?"),
    savs.Prompt((), "Is the sea blue?"),
    savs.Prompt((draw("circle", 2), noise(56, 140)), "Do both pictures show the same shape? " * 3),
    savs.Prompt((CLIP,), "How does it move?"),
    savs.Prompt((CLIP, draw("heart", 4)), "Is this from the video?"),
    savs.Prompt((noise(28, 300),), "Count the shapes."),
]
# Names of one to three tokens, among them some that begin others, or begin like them.
CLASSES = (
    *("star", "stars", "a star", "a start", "yes", "moving left", "moving right"),
    *("star heart circle", "star circle heart"),
)
LONGEST = 12  # tokens of a generated answer


@pytest.fixture(scope="module")
def demo() -> savs.Model:
    return savs.load_model("demo", device="cpu")


@pytest.fixture(params=["demo", "qwen2"])
def model(request: pytest.FixtureRequest) -> savs.Model:
    """The demo model, whose answers make sense, and a random one, which goes on and on."""
    loaded: savs.Model = request.getfixturevalue(request.param)
    return loaded


def tokens(model: savs.Model, text: str) -> list[int]:
    found: list[int] = model.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def logits(model: savs.Model, prompt: savs.Prompt, behind: Sequence[int]) -> torch.Tensor:
    """float64 [tokens, vocabulary] of one prompt with `behind` behind it, without padding or a cache."""
    [(_, batch)], errors = preprocess(model, [prompt])
    assert not errors
    inputs = onto_device(model, batch.inputs)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([list(behind)]).long()], dim=1)
    for name, fill in (("attention_mask", 1), ("mm_token_type_ids", 0)):
        inputs[name] = torch.nn.functional.pad(inputs[name], (0, len(behind)), value=fill)
    with torch.no_grad():
        return model.network(**inputs, use_cache=False).logits[0].double()


def slow_shares(model: savs.Model, prompt: savs.Prompt, classes: Sequence[str]) -> np.ndarray:
    sums = []
    for name in classes:
        behind = tokens(model, name)
        logs = logits(model, prompt, behind).log_softmax(-1)[-len(behind) - 1 : -1]
        sums.append(sum(logs[i, token].item() for i, token in enumerate(behind)))
    powers = np.exp(np.array(sums) - max(sums))
    return powers / powers.sum()


def slow_text(model: savs.Model, prompt: savs.Prompt, most: int) -> str:
    said: list[int] = []
    while len(said) < most:
        token = int(logits(model, prompt, said)[-1].argmax())
        if token == model.processor.tokenizer.eos_token_id:
            break
        said.append(token)
    text: str = model.processor.tokenizer.decode(said, skip_special_tokens=True)
    return text.strip()


def shares(answers: Sequence[dict[str, float] | ItemError]) -> np.ndarray:
    return np.array([list(answer.values()) for answer in answers if isinstance(answer, dict)])


def kinds(answers: Sequence[Any]) -> dict[int, type[ItemError]]:
    return {i: type(answer) for i, answer in enumerate(answers) if isinstance(answer, ItemError)}


@contextmanager
def settings(model: savs.Model, **changes: Any) -> Iterator[GenerationConfig]:
    """The checkpoint's generation settings, other than they are."""
    own = model.network.generation_config
    model.network.generation_config = GenerationConfig(**(own.to_diff_dict() | changes))
    try:
        yield model.network.generation_config
    finally:
        model.network.generation_config = own


def test_shares_are_those_of_each_name_and_prompt_by_itself(model: savs.Model) -> None:
    # given names of one token and of several, and pictures, pairs, clips and text in one batch
    assert {len(tokens(model, name)) for name in CLASSES} == {1, 2, 3}
    found = likeliest(model, PROMPTS, CLASSES)
    assert all(list(answer) == list(CLASSES) for answer in found if isinstance(answer, dict))
    slow = np.array([slow_shares(model, prompt, CLASSES) for prompt in PROMPTS])
    assert np.allclose(shares(found), slow, atol=1e-5)
    assert np.allclose(shares(found).sum(axis=1), 1)


def test_texts_are_those_of_greedy_decoding_by_itself(model: savs.Model) -> None:
    found = generate(model, PROMPTS, LONGEST)
    assert found == [slow_text(model, prompt, LONGEST) for prompt in PROMPTS]


def test_a_batch_answers_as_its_prompts_alone(model: savs.Model) -> None:
    together, alone = likeliest(model, PROMPTS, CLASSES), [likeliest(model, [p], CLASSES)[0] for p in PROMPTS]
    assert np.allclose(shares(together), shares(alone), atol=1e-5)
    assert generate(model, PROMPTS, LONGEST) == [generate(model, [p], LONGEST)[0] for p in PROMPTS]


def test_the_demo_model_says_what_it_was_taught_and_stops_there(demo: savs.Model) -> None:
    asked = [
        savs.Prompt((draw("star", 1),), "What shape is it?"),
        savs.Prompt((draw("heart", 2),), "Name the shape."),
    ]
    assert generate(demo, asked, 32) == ["star", "heart"]
    found = likeliest(demo, asked, ["circle", "heart", "star"])
    assert [max(one, key=one.get) for one in found if isinstance(one, dict)] == ["star", "heart"]


def test_names_share_the_passes_that_begin_them_and_prompts_get_no_logits(qwen2: savs.Model) -> None:
    # given names of two tokens and more, of which three begin another
    names = ["star", "yes", "stars", "star heart", "star heart circle", "moving left", "moving right"]
    shapes: list[tuple[int, ...]] = []
    hook = qwen2.network.lm_head.register_forward_hook(lambda *given: shapes.append(tuple(given[2].shape)))
    try:
        likeliest(qwen2, PROMPTS[:2], names)
        # then one pass gives all first tokens, and two give the others, in as many columns as they need
        assert len(tokens(qwen2, "moving left")) == 3
        assert [shape[:2] for shape in shapes] == [(2, 1), (2, 2), (2, 2)]
        shapes.clear()
        likeliest(qwen2, PROMPTS[:2], ["star", "yes", "circle"])
        assert [shape[:2] for shape in shapes] == [(2, 1)]
        shapes.clear()
        generate(qwen2, PROMPTS[:2], 3)
        assert [shape[:2] for shape in shapes] == [(2, 1)] * 3
    finally:
        hook.remove()
    assert not qwen2.network._forward_hooks


def test_a_class_that_begins_another_is_at_least_as_likely(model: savs.Model) -> None:
    for answer in likeliest(model, PROMPTS, CLASSES):
        assert isinstance(answer, dict)
        assert answer["star"] >= max(answer["stars"], answer["star heart circle"])


def test_the_checkpoints_sampling_settings_do_not_count(qwen2: savs.Model) -> None:
    calm = generate(qwen2, PROMPTS, LONGEST)
    shaken = {"do_sample": True, "temperature": 9.0, "top_k": 3, "repetition_penalty": 5.0, "num_beams": 2}
    with settings(qwen2, **shaken, suppress_tokens=tokens(qwen2, str(calm[0])), max_length=1) as its_own:
        assert generate(qwen2, PROMPTS, LONGEST) == calm
        assert np.allclose(shares(likeliest(qwen2, PROMPTS, ["red", "blue"])).sum(axis=1), 1)
        # and they are the checkpoint's own again
        assert qwen2.network.generation_config is its_own


def test_an_answer_ends_at_any_of_the_checkpoints_end_tokens(qwen2: savs.Model) -> None:
    first = int(logits(qwen2, PROMPTS[0], [])[-1].argmax())
    whole = generate(qwen2, PROMPTS[:2], 4)
    with settings(qwen2, eos_token_id=[5, first]):
        assert generate(qwen2, PROMPTS[:2], 4)[0] == ""
    assert whole[0] != ""


@pytest.mark.parametrize("ask", [lambda m, p: generate(m, p, 4), lambda m, p: likeliest(m, p, CLASSES)])
def test_an_item_that_cannot_be_shown_costs_itself_alone(qwen2: savs.Model, ask: Any) -> None:
    # given one picture that the processor refuses, and a question longer than the context
    bad = [savs.Prompt((noise(1, 400),), "Shape?"), savs.Prompt((), "why " * 1200)]
    found = ask(qwen2, [bad[0], *PROMPTS[:2], bad[1], PROMPTS[3]])
    assert kinds(found) == {0: UnusablePrompt, 3: ItemTooLong}
    # then the others are answered as if these were not there
    calm = ask(qwen2, [*PROMPTS[:2], PROMPTS[3]])
    good = [answer for answer in found if not isinstance(answer, ItemError)]
    if isinstance(calm[0], str):
        assert good == calm
    else:
        assert np.allclose(shares(good), shares(calm), atol=1e-5)


def test_an_answer_that_would_not_fit_the_context_costs_its_item(qwen2: savs.Model) -> None:
    # given prompts that fill the context but for 2 tokens, and but for 3
    [(_, batch)], _ = preprocess(qwen2, [savs.Prompt((), "a")])
    full, fuller = (
        savs.Prompt((), "a" + " b" * (qwen2.context - batch.lengths[0] - left)) for left in (3, 2)
    )
    # then four tokens, of which the model takes in three, have room behind one of them
    assert kinds(generate(qwen2, [full, fuller], 4)) == {1: ItemTooLong}
    assert kinds(generate(qwen2, [full, fuller], 3)) == {}
    assert kinds(generate(qwen2, [full, fuller], 5)) == {0: ItemTooLong, 1: ItemTooLong}
    [_, error] = generate(qwen2, [full, fuller], 4)
    assert f"{qwen2.context - 2} tokens, and 3 more for its answer" in str(error)
    # and so it is with the names of classes
    assert kinds(likeliest(qwen2, [full, fuller], ["yes", "moving left"])) == {}
    assert kinds(likeliest(qwen2, [full, fuller], ["yes", "moving left left left"])) == {
        0: ItemTooLong,
        1: ItemTooLong,
    }


def test_a_model_that_answers_with_nan_costs_the_item(qwen2: savs.Model) -> None:
    # given a model that breaks on one word
    word = tokens(qwen2, "Is the sea blue?")[-2]
    weights = qwen2.network.get_input_embeddings().weight.data
    kept = weights[word].clone()
    weights[word] = float("nan")
    try:
        assert kinds(generate(qwen2, PROMPTS[:3], 4)) == {1: UnusableVectors}
        assert kinds(likeliest(qwen2, PROMPTS[:3], CLASSES)) == {1: UnusableVectors}
    finally:
        weights[word] = kept


def test_no_prompts_give_no_answers_and_no_classes_are_refused(qwen2: savs.Model) -> None:
    assert generate(qwen2, [], 4) == [] and likeliest(qwen2, [], CLASSES) == []
    with pytest.raises(SettingsError, match="no classes"):
        likeliest(qwen2, PROMPTS, [])
    with pytest.raises(UnsupportedModel, match="no token for the class ''"):
        likeliest(qwen2, PROMPTS, ["star", ""])

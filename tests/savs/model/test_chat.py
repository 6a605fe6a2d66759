"""How prompts are written: media first, media at their marks, and checkpoints without a chat template."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoProcessor

import savs
from savs.model.chat import Chat, find_chat, write

QUESTION = "What is this?"
TEXT_TEMPLATE = (  # a language model's: it takes one text
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def without_template(folder: Path, to: Path, tokenizers: str | None = None) -> Path:
    """The checkpoint without a chat template, or with one that the tokenizer alone has."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.jinja"))
    if tokenizers is not None:
        path = to / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": tokenizers}))
    return to


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        (
            "qwen2_5_vl",
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
            "<|vision_start|><|image_pad|><|vision_end|><|vision_start|><|image_pad|><|vision_end|>"
            "What is this?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            "llava_onevision",
            "<|im_start|>user <image><image>\nWhat is this?<|im_end|><|im_start|>assistant\n",
        ),
        ("llava_next", "[INST] <image>\n<image>\nWhat is this? [/INST]"),
        ("idefics3", "<|begin_of_text|>User:<image><image>What is this?<end_of_utterance>\nAssistant:"),
    ],
)
def test_media_come_first_then_the_question_then_the_generation_prompt(
    family_model: Callable[[str], savs.Model], family: str, expected: str
) -> None:
    model = family_model(family)
    assert write(model.processor, model.chat, ("image", "image"), QUESTION) == expected


def test_marks_put_media_where_they_stand(family_model: Callable[[str], savs.Model]) -> None:
    # given a template that keeps the order of a turn's parts, its own marks are around the pictures
    qwen = family_model("qwen2_vl")
    text = write(qwen.processor, qwen.chat, ("image", "image"), "First <image> then <image>?")
    pad = "<|vision_start|><|image_pad|><|vision_end|>"
    assert f"First {pad} then {pad}?" in text
    # and given one that writes all media first, the placeholders go into the text, as published
    llava = family_model("llava_onevision")
    text = write(llava.processor, llava.chat, ("video", "image"), "First <image> then <image>?")
    assert "user \nFirst <video> then <image>?<|im_end|>" in text


def test_a_checkpoint_without_a_template_gets_the_documented_one_and_a_warning(
    family_folder: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # given LLaVA-NeXT without its template
    folder = without_template(family_folder("llava_next"), tmp_path / "bare")
    # if it is loaded
    with caplog.at_level(logging.WARNING, logger="savs"):
        model = savs.load_model(folder, device="cpu")
    # then that is said once
    [record] = [r for r in caplog.records if r.name == "savs.model.chat"]
    assert "bare has no usable chat template" in record.getMessage()
    assert "'USER: … ASSISTANT:'" in record.getMessage()
    # and prompts are written as LLaVA-1.5's are
    expected = "USER: <image>\n<image>\nWhat is this? ASSISTANT:"
    assert write(model.processor, model.chat, ("image", "image"), QUESTION) == expected
    assert write(model.processor, model.chat, (), "{Why}?") == "USER: {Why}? ASSISTANT:"
    marked = write(model.processor, model.chat, ("image", "image"), "Is <image> like <image>?")
    assert marked == "USER: Is <image> like <image>? ASSISTANT:"


def test_a_checkpoint_without_a_template_labels(
    family_folder: Callable[[str], Path], tmp_path: Path, corner_pictures: list[savs.Sample]
) -> None:
    model = savs.load_model(without_template(family_folder("mistral3"), tmp_path / "bare"), device="cpu")
    found = savs.extract(model, corner_pictures)
    readout = savs.fit(found.vectors, [str(s.label) for s in found.samples], heads=5)
    answers = savs.classify(readout, found.vectors)
    assert [a.prediction for a in answers] == [s.label for s in corner_pictures]


def test_a_template_that_the_tokenizer_alone_has_is_used(
    family_folder: Callable[[str], Path], family_model: Callable[[str], savs.Model], tmp_path: Path
) -> None:
    own = family_model("qwen2_vl")
    template = own.processor.chat_template
    folder = without_template(family_folder("qwen2_vl"), tmp_path / "bare", template)
    processor = AutoProcessor.from_pretrained(folder)
    chat = find_chat(processor, "bare")
    assert chat == Chat("tokenizer", template)
    text = write(processor, chat, ("image",), "Is <image> red?")
    assert text == write(own.processor, own.chat, ("image",), "Is <image> red?")


def test_a_language_models_template_gets_one_text_with_placeholders(
    family_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = without_template(family_folder("llava_onevision"), tmp_path / "bare", TEXT_TEMPLATE)
    model = savs.load_model(folder, device="cpu")
    assert model.chat == Chat("tokenizer", TEXT_TEMPLATE, parts=False)
    text = write(model.processor, model.chat, ("image",), QUESTION)
    assert text == "<|im_start|>user\n<image>\nWhat is this?<|im_end|>\n<|im_start|>assistant\n"


def test_a_template_that_shows_no_question_is_not_used(
    family_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = without_template(family_folder("llava_onevision"), tmp_path / "bare", "{{ messages | length }}")
    assert find_chat(AutoProcessor.from_pretrained(folder), "bare").source == "fallback"


def test_an_item_that_the_template_refuses_costs_its_own_row(
    family_folder: Callable[[str], Path], tmp_path: Path, corner_pictures: list[savs.Sample]
) -> None:
    # given a template that refuses what it does not like
    folder = tmp_path / "strict"
    shutil.copytree(family_folder("llava_next"), folder)
    path = folder / "chat_template.jinja"
    picky = "{% if messages[0]['content'] | length > 2 %}{{ raise_exception('one picture!') }}{% endif %}"
    path.write_text(picky + path.read_text())
    model = savs.load_model(folder, device="cpu")
    # if one of two items has more
    one, two = corner_pictures[:2]
    found = savs.extract(model, [one, savs.Sample(1, "1", (*one.media, *two.media), "Which?")])
    # then the other is labelled
    assert found.samples == (one,)
    assert "the chat template refuses the item: one picture!" in str(found.errors[1])


def test_artifacts_say_whose_template_made_them(family_model: Callable[[str], savs.Model]) -> None:
    from savs.artifact.artifact import describe

    assert describe(family_model("qwen2_vl")).prompt.chat == "processor"

"""The fixed workloads of the engine's benchmarks: models, generated media, and questions of 26 tokens."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from savs.data.samples import Sample
from savs.model.checkpoint import DEMO

QUESTION_TOKENS = 26
CLASSES = 4
SEED = 1204
FRAMES = 16  # of a video; all are shown
FPS = 4
VOCABULARY = 2048  # of the model "tenth"
SIDE = 224  # pixels of its images and frames
RAGGED = 60  # pixels, the least width and height of ragged images

# Frequent words from which the questions are composed.
WORDS = (
    *("the", "colour", "of", "thing", "in", "picture", "is", "red", "or", "blue", "and", "how", "many"),
    *("are", "there", "on", "left", "side", "near", "it"),
)


@dataclass(frozen=True)
class Workload:
    """Items that are shown to a model.

    model      "demo", "small": a random Qwen2.5-VL of 6 layers of 64 values, or "tenth": one of about 0.1
               billion parameters
    side       pixels of an image, or of a video's frames
    video      whether the media are videos
    media      number of images or videos
    questions  number of questions about each of them
    baseline   number of prompts that the published loop is timed on: it processes them one by one, so
               the time per prompt does not depend on their number
    extract    whether an artifact is fitted; otherwise items are labelled
    ragged     whether images have any width and height from RAGGED pixels to `side`, and every second one a
               question twice as long
    """

    name: str
    model: str
    side: int
    video: bool
    media: int
    questions: int
    baseline: int
    extract: bool = False
    ragged: bool = False

    @property
    def prompts(self) -> int:
        return self.media * self.questions


WORKLOADS = (
    Workload("demo extract 84 px", "demo", 84, False, 80, 1, 80, extract=True),
    Workload("demo extract 224 px", "demo", 224, False, 80, 1, 80, extract=True),
    Workload("demo classify 84 px", "demo", 84, False, 240, 1, 120),
    Workload("demo classify 224 px", "demo", 224, False, 240, 1, 120),
    Workload("demo classify 84 px, 2 questions", "demo", 84, False, 120, 2, 120),
    Workload("demo classify 84 px, 15 questions", "demo", 84, False, 32, 15, 120),
    Workload("demo classify video", "demo", SIDE, True, 24, 1, 24),
    Workload("demo classify video, 15 questions", "demo", SIDE, True, 12, 15, 60),
    Workload("small extract, ragged", "small", 200, False, 80, 1, 80, extract=True, ragged=True),
    Workload("small classify, ragged", "small", 200, False, 240, 1, 120, ragged=True),
    Workload("0.1 B extract 224 px", "tenth", SIDE, False, 80, 1, 12, extract=True),
    Workload("0.1 B classify 224 px", "tenth", SIDE, False, 32, 1, 12),
    Workload("0.1 B classify 224 px, 2 questions", "tenth", SIDE, False, 16, 2, 12),
    Workload("0.1 B classify 224 px, 15 questions", "tenth", SIDE, False, 4, 15, 15),
    Workload("0.1 B classify video, 15 questions", "tenth", SIDE, True, 2, 15, 4),
)


def samples(work: Workload, folder: Path) -> list[Sample]:
    """Return the workload's rows, with their media in `folder`, which the first call draws. Labels depend on
    the content, so that they can be predicted."""
    rng = random.Random(f"{SEED} {work.side} {work.video}")
    rows: list[Sample] = []
    for number in range(work.media):
        label = number % CLASSES
        kind = "ragged-" if work.ragged else ""
        path = folder / f"{kind}{work.side}-{number:04d}{'.mp4' if work.video else '.jpg'}"
        if not path.exists():
            _draw(path, work, label, rng)
        texts = list(questions())[: work.questions]
        if work.ragged and number % 2:
            texts = [f"{text} {text}" for text in texts]
        for text in texts:
            rows.append(Sample(len(rows), str(len(rows)), (str(path),), text, f"class {label}"))
    return rows


def _draw(path: Path, work: Workload, label: int, rng: random.Random) -> None:
    from PIL import Image

    from savs.demo.corpus import save
    from savs.demo.scenes import draw_scene, random_scene

    frames = []
    for _ in range(FRAMES if work.video else 1):
        scene = draw_scene(random_scene(rng), rng)
        width, height = (rng.randint(RAGGED, work.side) if work.ragged else work.side for _ in range(2))
        scene = scene.resize((width, height))
        tint = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)][label]
        frames.append(Image.blend(scene, Image.new("RGB", scene.size, tint), 0.35))
    if work.video:
        save(frames, path)
    else:
        frames[0].save(path, quality=90)


@cache
def questions() -> tuple[str, ...]:
    """Return fifteen questions of QUESTION_TOKENS tokens each with the demo's tokenizer."""
    return tuple(_questions())


def _questions() -> Iterator[str]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(DEMO)

    def length(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    rng = random.Random(SEED)
    found: list[str] = []
    while len(found) < 15:
        words = [rng.choice(WORDS) for _ in range(QUESTION_TOKENS)]
        while words and length(" ".join(words)) > QUESTION_TOKENS:
            words.pop()
        text = " ".join(words)
        if length(text) == QUESTION_TOKENS and text not in found:
            found.append(text)
            yield text


def _demo_config() -> Any:
    from transformers import AutoTokenizer

    from savs.demo.architecture import make_config

    return make_config(AutoTokenizer.from_pretrained(DEMO))


def small_config() -> Any:
    """Return a Qwen2.5-VL configuration of 6 layers of 64 values, on a vision tower of 4 layers."""
    config = _demo_config()
    text, vision = config.text_config, config.vision_config
    text.hidden_size = vision.out_hidden_size = vision.hidden_size = 64
    text.intermediate_size = vision.intermediate_size = 128
    text.num_attention_heads, text.num_key_value_heads = 4, 2
    vision.num_heads = 2
    vision.fullatt_block_indexes = [1, 3]
    text.initializer_range = vision.initializer_range = 0.05
    return config


def tenth_config() -> Any:
    """Return a Qwen2.5-VL configuration of about 0.1 billion parameters."""
    config = _demo_config()
    text, vision = config.text_config, config.vision_config
    text.vocab_size = VOCABULARY
    text.hidden_size, text.intermediate_size, text.num_hidden_layers = 640, 2560, 14
    text.num_attention_heads, text.num_key_value_heads = 10, 2
    text.layer_types = ["full_attention"] * text.num_hidden_layers
    text.max_position_embeddings = 4096
    text.rope_parameters = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 12, 12]}
    vision.hidden_size, vision.intermediate_size, vision.depth = 320, 1280, 8
    vision.num_heads, vision.out_hidden_size = 5, 640
    vision.fullatt_block_indexes = [3, 7]
    text.initializer_range = vision.initializer_range = 0.05
    return config


def checkpoint(model: str, folder: Path) -> Path:
    """Return the folder of a workload's model; the first call creates the random one."""
    if model == "demo":
        return DEMO
    place = folder / model
    if not (place / "config.json").exists():
        import torch
        from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

        torch.manual_seed(SEED)
        config = {"small": small_config, "tenth": tenth_config}[model]()
        Qwen2_5_VLForConditionalGeneration(config).save_pretrained(place)
        processor = AutoProcessor.from_pretrained(DEMO)
        budget = {"shortest_edge": 28 * 28, "longest_edge": FRAMES * SIDE * SIDE}
        processor.image_processor.size = processor.video_processor.size = budget
        processor.tokenizer.model_max_length = 4096
        processor.save_pretrained(place)
    return place

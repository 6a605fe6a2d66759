import random
import re
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
import torch

import savs
from savs.demo import evaluate, questions, scenes, unseen
from savs.demo.packing import Packer, visible
from savs.demo.train import Trainee, patches
from savs.engine.forward import onto_device
from savs.engine.prompts import Prompt, preprocess
from savs.model.checkpoint import DEMO
from savs.model.model import Model


@pytest.fixture(scope="module")
def demo() -> Model:
    return savs.load_model("demo")


def test_the_weights_are_at_most_eight_megabytes_of_half_precision() -> None:
    from safetensors import safe_open

    assert (DEMO / "model.safetensors").stat().st_size <= 8_000_000
    with safe_open(DEMO / "model.safetensors", framework="pt") as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.float16}  # noqa: SIM118


def test_it_answers_what_it_was_taught(demo: Model) -> None:
    found = evaluate.zero_shot_table(demo, items=60)

    for task, bar in evaluate.TAUGHT_BARS.items():
        assert found[task] >= bar - 0.10, f"{task}: {found[task]:.2f} on 60 scenes"


def test_its_heads_know_a_layout_it_has_no_word_for(demo: Model) -> None:
    [task] = [t for t in unseen.TASKS if t.name == "layout"]

    zero_shot, votes = evaluate.unseen_scores(demo, task, items=90)

    assert votes >= 0.8
    assert votes - zero_shot >= 0.2


def test_no_word_of_an_unseen_task_is_ever_taught() -> None:
    rng = random.Random(1)
    taught = set(questions.OPEN_WORDS)
    for _ in range(400):
        scene = scenes.random_scene(rng)
        turns = chain(
            islice(questions.picture_turns(scene, rng), 16),
            islice(questions.clip_turns(scene, rng.choice(scenes.MOTIONS), rng), 8),
            islice(questions.pair_turns(scene, questions.matching_scene(scene, rng), rng), 8),
        )
        taught |= {w for t in turns for w in re.findall(r"\w+", f"{t.question} {t.answer}".lower())}

    for task in unseen.TASKS:
        assert taught.isdisjoint(task.classes)
        assert task.name not in taught


def test_nothing_that_unseen_tasks_draw_is_drawn_in_the_taught_world() -> None:
    assert not set(scenes.TEXTURES) & set(unseen.PATTERNS)
    assert not set(scenes.SHAPES) & set(unseen.FIGURES)
    assert not set(scenes.COLOURS) & set(unseen.TINTS)
    assert not set(scenes.MOTIONS) & set(unseen.MOVEMENTS)


def test_the_same_seed_draws_the_same_scene() -> None:
    first, second = (
        scenes.draw_scene(scenes.random_scene(r), r) for r in (random.Random(5), random.Random(5))
    )

    assert first.tobytes() == second.tobytes()


def test_what_a_scene_says_of_its_place_is_where_its_shapes_are() -> None:
    rng = random.Random(2)
    for _ in range(300):
        scene = scenes.random_scene(rng)
        centres = np.array(scenes.place(scene.count, scene.position, 8.0, rng)) - scenes.SIDE / 2
        x, y = centres.mean(axis=0)

        place = {"left": -x, "right": x, "top": -y, "bottom": y}
        if scene.position == "middle":
            assert max(abs(x), abs(y)) <= 4
        else:
            assert place[scene.position] == max(place.values())


def test_training_patches_are_the_processors(demo: Model) -> None:
    rng = random.Random(3)
    picture = scenes.draw_scene(scenes.random_scene(rng), rng)
    frames = torch.from_numpy(np.stack([np.asarray(picture)] * 2))[None]

    pixels = demo.processor.image_processor(images=[picture], return_tensors="pt")["pixel_values"]

    assert torch.allclose(patches(frames)[0], pixels, atol=1e-6)


@pytest.mark.parametrize("kind", ["picture", "pair", "clip"])
def test_a_question_packed_beside_others_gets_the_logits_it_gets_alone(demo: Model, kind: str) -> None:
    # given a row with a picture, a pair or a clip, a dozen questions about it, and training's attention
    demo.network.set_attn_implementation("eager")
    packer = Packer(demo.processor.tokenizer, {"picture": 0, "pair": 0, "clip": 0, kind: 1}, seed=4)
    turns = []
    drawn = packer._draw(kind)
    row = packer._row(packer.prefixes[kind], (turns.append(t) or t for t in drawn[2]))
    tokens, positions, segments, predicts, _, _ = (torch.from_numpy(part) for part in row)
    frames = torch.from_numpy(np.stack([np.asarray(p) for p in drawn[1]])).reshape(-1, 2, 84, 84, 3)
    config = demo.network.config
    media = (tokens == config.image_token_id) | (tokens == config.video_token_id)

    # when the row is run as in training, and one of its questions as everywhere else
    with torch.no_grad():
        packed, _ = Trainee(demo.network)(
            frames,
            tokens[None],
            positions[:, None],
            visible(segments[None]),
            torch.stack(torch.where(media[None])),
            predicts[None],
        )
        pictures = drawn[1] if kind == "clip" else drawn[1][::2]
        shown = evaluate.show(pictures) if kind == "clip" else tuple(pictures)
        [(_, batch)], _ = preprocess(demo, [Prompt(shown, turns[5].question)])
        alone = demo.network(**onto_device(demo, batch.inputs)).logits[0, -1]

    # then they agree
    assert torch.allclose(packed[0, 5, 0], alone, atol=0.02)


def test_the_demo_corpus_is_files_that_savs_reads(tmp_path: Path) -> None:
    from savs.demo.corpus import write_corpus

    [task] = [t for t in unseen.TASKS if t.clip]
    write_corpus(tmp_path, task, items=3)

    rows = savs.read_samples(str(tmp_path / "corpus.jsonl"), labelled=True)
    video = savs.data.media.open_media(rows[0].media[0], savs.FrameSampling(frames=8))
    assert len(rows) == 3
    assert video.frames.shape == (8, 84, 84, 3)
    assert video.fps == scenes.CLIP_FPS

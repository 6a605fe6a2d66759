"""Measures the demo model on freshly drawn scenes: `python -m savs.demo.evaluate`.

Prints two tables: the taught tasks, zero-shot; and eight tasks that the model was never taught,
zero-shot and with Sparse Attention Vectors from 20 examples per class. The exit code is 1 if a bar is
missed.
"""

import argparse
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

import savs
from savs.data.video.sampling import Video
from savs.demo import questions
from savs.demo.scenes import (
    CLIP_FPS,
    CLIP_FRAMES,
    MOTIONS,
    draw_clip,
    draw_scene,
    random_scene,
)
from savs.demo.unseen import TASKS, Media, UnseenTask
from savs.engine import zero_shot
from savs.engine.forward import read_heads
from savs.engine.prompts import Prompt, preprocess
from savs.engine.vectors import HeadVectors
from savs.model.model import Model

SEED = 90210  # differs from the training seed
TAUGHT_ITEMS = 500  # per taught task
UNSEEN_ITEMS = 1000  # test rows per unseen task
EXAMPLES = 20  # per class
BATCH = 64  # items
TAUGHT_BARS = {"colour": 0.95, "count": 0.95, "position": 0.95, "shape": 0.95, "motion": 0.95} | {
    "statement": 0.90,
    "comparison": 0.90,
}
UNSEEN_BAR = 0.75  # mean accuracy of the unseen tasks with SAV votes
GAIN_BAR = 0.20  # the same minus the mean zero-shot accuracy


@dataclass(frozen=True)
class Question:
    """A prompt and its correct answer, one of several class names."""

    prompt: Prompt
    answer: str


def show(media: Media) -> tuple[Image.Image | Video, ...]:
    """Return an image, or a video in the form that the video reader returns."""
    if len(media) == 1:
        return tuple(media)
    return (
        Video(np.stack([np.asarray(m) for m in media]), tuple(range(CLIP_FRAMES)), CLIP_FPS, CLIP_FRAMES),
    )


def taught(task: str, rng: random.Random) -> Question:
    """Return a question of `task`, a key of `questions.ANSWERS`, about a new scene."""
    scene = random_scene(rng)
    if task == "comparison":
        other = questions.matching_scene(scene, rng)
        media: tuple[Image.Image | Video, ...] = (draw_scene(scene, rng), draw_scene(other, rng))
        turn = next(t for t in questions.pair_turns(scene, other, rng) if t.answer in ("yes", "no"))
    elif task == "motion":
        motion = rng.choice(MOTIONS)
        media = show(draw_clip(replace(scene, count=1), motion, rng))
        turn = questions.ask("motion", motion, rng)
    else:
        media = (draw_scene(scene, rng),)
        known = questions.facts(scene)
        statement = task == "statement"
        turn = questions.statement(known, rng) if statement else questions.ask(task, known[task], rng)
    return Question(Prompt(media, turn.question), turn.answer)


def likeliest(model: Model, prompts: list[Prompt], names: tuple[str, ...]) -> list[str]:
    """Return, for each prompt, the name with the highest likelihood as the model's answer."""
    found = []
    for start in range(0, len(prompts), BATCH):
        for shares in zero_shot.likeliest(model, prompts[start : start + BATCH], names):
            assert isinstance(shares, dict)
            found.append(max(shares, key=shares.__getitem__))
    return found


def read(model: Model, prompts: list[Prompt]) -> HeadVectors:
    """Return the prompts' head vectors."""
    rows = []
    for start in range(0, len(prompts), BATCH):
        [(_, batch)], _ = preprocess(model, prompts[start : start + BATCH])
        rows.append(read_heads(model, batch))
    return HeadVectors(model.layout, np.concatenate(rows))


def zero_shot_table(model: Model, items: int) -> dict[str, float]:
    """Return the accuracy per taught task."""
    found = {}
    for task in TAUGHT_BARS:
        rng = random.Random(f"{SEED} {task}")
        asked = [taught(task, rng) for _ in range(items)]
        said = likeliest(model, [q.prompt for q in asked], questions.ANSWERS[task])
        found[task] = float(np.mean([s == q.answer for s, q in zip(said, asked, strict=True)]))
    return found


def draw(task: UnseenTask, per_class: int, rng: random.Random) -> list[Question]:
    return [
        Question(Prompt(show(task.draw(name, rng)), task.question), name)
        for _ in range(per_class)
        for name in task.classes
    ]


def unseen_scores(model: Model, task: UnseenTask, items: int) -> tuple[float, float]:
    """Return the accuracy on an unseen task, zero-shot and with SAV votes."""
    rng = random.Random(f"{SEED} {task.name}")
    train, test = (draw(task, n, rng) for n in (EXAMPLES, -(-items // len(task.classes))))
    readout = savs.fit(read(model, [q.prompt for q in train]), [q.answer for q in train])
    voted = [a.prediction for a in savs.classify(readout, read(model, [q.prompt for q in test]))]
    said = likeliest(model, [q.prompt for q in test], task.classes)
    answers = [q.answer for q in test]
    return (
        float(np.mean([s == a for s, a in zip(said, answers, strict=True)])),
        float(np.mean([v == a for v, a in zip(voted, answers, strict=True)])),
    )


def evaluate(model: Model, taught_items: int, unseen_items: int, say: Callable[[str], None]) -> bool:
    """Print both tables; return whether every bar is met."""
    say(f"| taught task, zero-shot ({taught_items} scenes each) | accuracy | bar |\n|---|---|---|")
    scores = zero_shot_table(model, taught_items)
    for task, accuracy in scores.items():
        say(f"| {task} | {accuracy:.3f} | {TAUGHT_BARS[task]:.2f} |")
    met = all(scores[task] >= bar for task, bar in TAUGHT_BARS.items())
    say(f"\n| unseen task ({unseen_items} scenes each) | classes | zero-shot | SAVs |\n|---|---|---|---|")
    pairs = []
    for unseen in TASKS:
        zero, votes = unseen_scores(model, unseen, unseen_items)
        pairs.append((zero, votes))
        say(f"| {unseen.name} | {', '.join(unseen.classes)} | {zero:.3f} | {votes:.3f} |")
    zero, votes = np.mean(pairs, axis=0)
    say(f"| mean | | {zero:.3f} | {votes:.3f} |")
    met &= bool(votes >= UNSEEN_BAR and votes - zero >= GAIN_BAR)
    say(f"\n{'every bar is met' if met else 'A BAR IS MISSED'}")
    return met


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--taught", type=int, default=TAUGHT_ITEMS, help="scenes per taught task")
    parser.add_argument("--unseen", type=int, default=UNSEEN_ITEMS, help="scenes per unseen task")
    arguments = parser.parse_args()
    loaded = savs.load_model(arguments.model)
    sys.exit(not evaluate(loaded, arguments.taught, arguments.unseen, lambda line: print(line, flush=True)))

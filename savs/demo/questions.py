"""The questions and answers that the demo model is trained on: about a scene, two scenes, or a video.

Nothing in this file may contain a word of `unseen`: those tasks measure information in the model's heads
that was never taught.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from savs.demo.scenes import (
    COLOURS,
    MAX_COUNT,
    MOTIONS,
    POSITIONS,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
    random_scene,
)

NUMBERS = ("one", "two", "three", "four", "five")
ANSWERS: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "count": NUMBERS[:MAX_COUNT],
    "position": POSITIONS,
    "size": tuple(SIZES),
    "texture": TEXTURES,
    "motion": MOTIONS,
    "statement": ("yes", "no"),
    "comparison": ("yes", "no"),
}
WORDINGS: dict[str, tuple[str, str]] = {
    "colour": ("What colour is it?", "Name the colour."),
    "shape": ("What shape is it?", "Name the shape."),
    "count": ("How many are there?", "Count the shapes."),
    "position": ("Where is it?", "Name the place."),
    "size": ("How large is it?", "Name the size."),
    "texture": ("What is its surface like?", "Name the surface."),
    "motion": ("How does it move?", "Name the motion."),
}
PLACES = {
    "left": "at the left",
    "right": "at the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "middle": "in the middle",
}
MOVES = {
    "left": "moving left",
    "right": "moving right",
    "up": "moving up",
    "down": "moving down",
    "growing": "growing",
    "shrinking": "shrinking",
}
SAME = {
    "colour": "Do both pictures show the same colour?",
    "shape": "Do both pictures show the same shape?",
    "count": "Do both pictures show the same number?",
    "position": "Do both pictures show the same place?",
    "size": "Do both pictures show the same size?",
    "texture": "Do both pictures show the same surface?",
}
MORE = "Which picture shows more?"

# An open question names no taught attribute, so the best guess is an even mixture of all the scene's
# words: it trains the last token to collect all information about the image.
OPEN_WORDINGS = (
    "What is the {a}?", "Which {a} is this?", "Is it {a} or {b}?", "What {a} does it have?",
    "Describe the {a}.", "What do you see?", "Tell the {a} of the {b}.", "Is this a {a}?",
)  # fmt: skip
# fmt: off
OPEN_WORDS = (
    "kind", "thing", "sort", "group", "class", "type", "mark", "sign", "view", "part", "form",
    "order", "style", "mood", "look", "name", "word", "idea", "plan", "scene", "animal", "house",
    "street", "sky", "water", "stone", "paper", "metal", "garden", "market", "window", "music",
    "letter", "family", "river", "city", "school", "season", "number", "table", "corner", "border",
    "edge", "line", "point", "detail", "object", "item", "topic", "story", "answer", "reason",
    "subject", "case", "level", "state", "value", "quality", "feature", "nature", "event", "good",
    "bad", "old", "new", "near", "far", "dark", "light", "soft", "hard", "warm", "cold", "quick",
    "slow", "open", "closed", "clean", "dirty", "happy", "sad", "calm", "loud", "strange", "common",
    "rare", "simple", "complex", "safe", "harmful", "real", "false", "whole", "broken",
)
# fmt: on


@dataclass(frozen=True)
class Turn:
    """A question about the media before it, and its answer. `task` is a key of `ANSWERS` or "open"."""

    task: str
    question: str
    answer: str


def facts(scene: Scene) -> dict[str, str]:
    """Return the scene's attributes as words."""
    words = {f.name: getattr(scene, f.name) for f in fields(scene)}
    words["count"] = NUMBERS[scene.count - 1]
    return words


def ask(task: str, answer: str, rng: random.Random) -> Turn:
    return Turn(task, rng.choice(WORDINGS[task]), answer)


def open_question(known: dict[str, str], rng: random.Random) -> Turn:
    a, b = rng.sample(OPEN_WORDS, 2)
    question = rng.choice(OPEN_WORDINGS).format(a=a, b=b)
    return Turn("open", question, rng.choice(list(known.values())))


def statement(known: dict[str, str], rng: random.Random) -> Turn:
    """Return a statement about one to three of the known facts; a false one has at least one altered."""
    names = rng.sample(sorted(known), min(len(known), rng.choice((1, 2, 2, 3))))
    claimed = {name: known[name] for name in names}
    true = rng.random() < 0.5
    if not true:
        for name in rng.sample(names, 1 if rng.random() < 0.7 else len(names)):
            claimed[name] = rng.choice([w for w in ANSWERS[name] if w != known[name]])
    return Turn("statement", f"Does this show {phrase(claimed)}?", "yes" if true else "no")


def phrase(claimed: dict[str, str]) -> str:
    """Return a phrase such as "three small striped red stars at the left"."""
    words = [claimed[name] for name in ("count", "size", "texture", "colour") if name in claimed]
    many = claimed.get("count", "one") != "one"
    noun = claimed.get("shape", "shape")
    words.append({"cross": "crosses"}.get(noun, noun + "s") if many else noun)
    if "position" in claimed:
        words.append(PLACES[claimed["position"]])
    if "motion" in claimed:
        words.append(MOVES[claimed["motion"]])
    return " ".join(words)


def picture_turns(scene: Scene, rng: random.Random) -> Iterator[Turn]:
    """Yield questions about one image without end: each attribute once, then statements."""
    known = facts(scene)
    for name in rng.sample(sorted(known), len(known)):
        yield ask(name, known[name], rng)
        if name in ("shape", "texture"):
            yield statement({name: known[name]}, rng)
        else:
            yield statement(known, rng)
        if rng.random() < 0.25:
            yield open_question(known, rng)
    while True:
        yield statement(known, rng)


def clip_turns(scene: Scene, motion: str, rng: random.Random) -> Iterator[Turn]:
    """Yield questions about a video of one moving shape, without end."""
    known = {"colour": scene.colour, "shape": scene.shape, "texture": scene.texture, "motion": motion}
    while True:
        yield ask("motion", motion, rng)
        yield statement(known, rng)
        name = rng.choice(("colour", "shape", "texture"))
        yield ask(name, known[name], rng)
        yield statement(known, rng)
        if rng.random() < 0.5:
            yield open_question(known, rng)


def pair_turns(first: Scene, second: Scene, rng: random.Random) -> Iterator[Turn]:
    """Yield comparisons of two images without end, the attributes in random order."""
    while True:
        for name in rng.sample(sorted(SAME), len(SAME)):
            same = getattr(first, name) == getattr(second, name)
            yield Turn("comparison", SAME[name], "yes" if same else "no")
            if name == "count" and not same:
                yield Turn("comparison", MORE, "first" if first.count > second.count else "second")


def matching_scene(scene: Scene, rng: random.Random) -> Scene:
    """Return a second scene that shares each attribute of `scene` with probability one half."""
    other = random_scene(rng)
    shared = {f.name: getattr(scene, f.name) for f in fields(scene) if rng.random() < 0.5}
    return replace(other, **shared)

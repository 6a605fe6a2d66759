"""Writes the survey as the section of docs/models.md."""

import textwrap
from collections import Counter

import transformers

from tests.survey.comparing import AS_GIVEN, GATED, NORMALISED, compare
from tests.survey.configs import CLASSES, INCOMPLETE, NEED_TIMM, TYPES
from tests.survey.looking import Found, look

TITLE = "## Every type of transformers"
NOTES = {AS_GIVEN: "", GATED: "gated", NORMALISED: "normalised over all heads"}


def section() -> str:
    """The section, from its title to its last row, without a line break at its end."""
    read = [name for name in TYPES if not look(name).refusal]
    refused = [name for name in TYPES if look(name).refusal]
    words = f"""The result of the rule for the {len(TYPES)} image-text-to-text types of transformers
        {transformers.__version__}, each built from its default config without weights; released checkpoints
        mostly have other sizes. `python -m tests.survey` prints this section, and a test compares it.
        {len(read)} types can be read. For each of them another test runs a small decoder with random
        weights, records the outputs of its attention functions, and finds exactly these values in the head
        vectors: of every head, of every self-attention layer, and nothing else. Layers that mix tokens in
        other ways have no heads. *Gated* means that the model multiplies or normalises each head on its own
        before the projection; the result of that is what is read. The table is about heads only: some types
        cannot be used for other reasons, because they require an image in every prompt (blip-2,
        instructblip, idefics, kosmos-2) or see none (evolla, mistral4)."""
    return "\n".join(
        [
            TITLE,
            "",
            textwrap.fill(" ".join(words.split()), 110),
            "",
            "| type | class | layers | heads × width | notes |",
            "|---|---|---|---|---|",
            *[_read_row(name) for name in read],
            "",
            f"{len(refused)} types are refused:",
            "",
            "| type | why |",
            "|---|---|",
            *[f"| {name} | {look(name).refusal} |" for name in refused],
        ]
    )


def _read_row(name: str) -> str:
    found = look(name)
    read = len(found.layers)
    layers = str(read) if read == found.total else f"{read} of {found.total}"
    return f"| {name} | {CLASSES[name]} | {layers} | {_sizes(found)} | {_notes(name)} |"


def _sizes(found: Found) -> str:
    """For example "8 × 256, in 5 layers 8 × 512": the most frequent first."""
    [(most, _), *others] = Counter((layer.heads, layer.head_dim) for layer in found.layers).most_common()
    sizes = f"{most[0]} × {most[1]}"
    for (heads, width), count in others:
        sizes += f", in {count} layers {heads} × {width}"
    return sizes


def _notes(name: str) -> str:
    notes = [NOTES[relation] for relation in dict.fromkeys(x.relation for x in compare(name).layers)]
    if name in INCOMPLETE:
        notes.append(f"the default config cannot be built: {INCOMPLETE[name][0]}; tested with that fixed")
    if name in NEED_TIMM:
        notes.append("needs timm; tested without its vision tower")
    return "; ".join(note for note in notes if note)

"""The examples of an artifact with corrected labels, and without those that are unusable."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.refit.corrections import Correction, check_id
from savs.data.labels import Label, labels_in
from savs.errors import SettingsError
from savs.readout.records import MULTI

if TYPE_CHECKING:
    from savs.artifact.artifact import Artifact
    from savs.artifact.training_row import TrainingRow


@dataclass(frozen=True)
class Examples:
    """Examples that are left: their rows and their numbers among the stored ones. `corrected` have another
    label than before, `dropped` are left out."""

    rows: "tuple[TrainingRow, ...]"
    numbers: list[int]
    corrected: int
    dropped: int


def corrected_examples(base: "Artifact", corrections: Mapping[int, Correction]) -> Examples:
    """Return the examples of an artifact after corrections, which name them by their number. Raises
    SettingsError if there is no such example."""
    said: dict[int, Label | None] = {}
    for number, one in corrections.items():
        place = _place(base, number, one)
        said[place] = None if one.label is None else _of_kind(one, base)
    rows, numbers, corrected = [], [], 0
    for place, row in enumerate(base.manifest.training):
        label = said.get(place, row.label)
        if label is None:
            continue
        corrected += {*labels_in(label)} != {*labels_in(row.label)}
        rows.append(row.model_copy(update={"label": label}) if place in said else row)
        numbers.append(place)
    return Examples(tuple(rows), numbers, corrected, len(base.manifest.training) - len(rows))


def _place(base: "Artifact", number: int, correction: Correction) -> int:
    """Return which of the stored examples is meant. Examples that could not be read are not stored, so that a
    number in the training file may be another one here; then the id decides, if only one has it."""
    ids = [row.id for row in base.manifest.training]
    if number < len(ids) and correction.id in (None, ids[number]):
        return number
    if ids.count(correction.id or "") == 1:
        return ids.index(correction.id or "")
    if number >= len(ids):
        raise SettingsError(
            f"{correction.where}: there is no example {number}; {base.manifest.name!r} has {len(ids)}, "
            "counted from 0"
        )
    check_id(correction, f"example {number}", ids[number])
    return number


def _of_kind(correction: Correction, base: "Artifact") -> Label:
    label = correction.label
    if base.readout.mode == MULTI:
        return labels_in(label)
    if not isinstance(label, str):
        raise SettingsError(
            f"{correction.where}: the label is a list, and {base.manifest.name!r} gives each item one label"
        )
    return label

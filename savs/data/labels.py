"""Labels of rows: one text, or a list of texts if an item may have several labels or none."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from savs.errors import BadRow

Label = str | tuple[str, ...]
MAX_LABELS = 1000  # of a row, and of a readout: every row has the probability of each
SHOWN = 40  # characters of a label in a message


def labels_in(label: Label | None) -> tuple[str, ...]:
    """Return the labels of a row: one text is a list of one, and None an empty list."""
    return () if label is None else (label,) if isinstance(label, str) else label


def listed_labels(values: list[Any], field: str) -> tuple[str, ...]:
    """Return a list of labels in a row's `field`. Raises BadRow unless they are at most MAX_LABELS different
    texts that are not blank."""
    if len(values) > MAX_LABELS:
        raise BadRow(f"{field!r} is a list of {len(values)} labels; at most {MAX_LABELS} are possible")
    for value in values:
        if not isinstance(value, str) or not value.strip():
            raise BadRow(f"{field!r} is a list with something that is not a text, or is blank")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise BadRow(f"{field!r} contains a lone surrogate (half a character)") from error
    if len(set(values)) < len(values):
        twice = Counter(values).most_common(1)[0][0]
        raise BadRow(f"{field!r} has {twice[:SHOWN]!r} twice")
    return tuple(values)


@dataclass
class LabelKinds:
    """The lines of the first label that is one text and of the first that is a list; 0 if there is none."""

    text: int = 0
    list: int = 0

    def see(self, label: Label | None, line: int) -> None:
        if isinstance(label, str):
            self.text = self.text or line
        elif label is not None:
            self.list = self.list or line

    @property
    def mixed(self) -> str | None:
        """What to say of examples that have both kinds; None if they have one."""
        if not self.text or not self.list:
            return None
        return (
            f"the label in line {self.text} is one text and that in line {self.list} is a list; write lists "
            'everywhere, also of one label: "label": ["cat"]'
        )

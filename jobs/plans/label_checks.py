"""Warnings about the labelled examples of a manifest, collected in the pass that plans it.

They name what usually is a mistake and can still be fitted: classes with one example, one class written in
two ways, and the same item in several rows. Media are compared by address; their bytes are not known yet.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from unicodedata import normalize

from savs.data.formats import Fields
from savs.data.labels import labels_in
from savs.data.rows import Line
from savs.data.samples import Reading, locate

MAX_CLASSES = 100_000  # of which the first line is kept
MAX_ITEMS = 1_000_000  # different items that are kept, about 130 bytes each
FEW = 2  # mean examples per class; with fewer, the labels are probably not classes
SHOWN = 5  # classes, or groups of classes, that a warning names
LABEL_CHARACTERS = 40  # of a label in a message
FORM_CHARACTERS = 256  # of a label whose form is compared: the time to normalise marks grows by the square
HALF = 32  # bits of each number in a packed place or mark
MASK = 2**HALF - 1

# A row's line, and in the lower half its number from 1. A tuple would take twice the memory.
Place = int


@dataclass
class Repeats:
    """Rows that repeat the item of an earlier row: how many, and the places of the first pair."""

    rows: int = 0
    earlier: Place = 0
    later: Place = 0

    def add(self, earlier: Place, later: Place) -> None:
        if not self.rows:
            self.earlier, self.later = earlier, later
        self.rows += 1


@dataclass
class Examples:
    """What is kept of the examples of a manifest, in bounded memory.

    lists      whether labels are lists; then a row counts for each of its labels
    first      label → place of its first row
    copies     rows with the media, question and label of an earlier row
    conflicts  rows with the media and question of an earlier row, but another label than the first such row
    cut        place of the first row whose item was not kept, because there were MAX_ITEMS
    crowded    whether a line has several rows, so that only a row's number tells where it is
    """

    reading: Reading
    rows: int = 0
    lists: bool = False
    first: dict[str, Place] = field(default_factory=dict)
    copies: Repeats = field(default_factory=Repeats)
    conflicts: Repeats = field(default_factory=Repeats)
    cut: Place | None = None
    crowded: bool = False
    _line: int = 0
    # hash of an item → place of its first row, and half of the hash of that row's label
    _items: dict[int, int] = field(default_factory=dict)
    # hash of an item and another label than that → place of the first row with both
    _others: dict[int, Place] = field(default_factory=dict)

    def add(self, fields: Fields, line: Line) -> None:
        """Add the example in `line`."""
        place = line.number << HALF | (line.index + 1)
        self.crowded = self.crowded or line.number == self._line
        self.rows, self._line = self.rows + 1, line.number
        self.lists = self.lists or isinstance(fields.label, tuple)
        for name in labels_in(fields.label):
            if name in self.first or len(self.first) < MAX_CLASSES:
                self.first.setdefault(name, place)
        label = tuple(sorted(labels_in(fields.label)))
        # 64 bits. Hashes of str differ between processes, so no manifest can be made whose rows collide.
        item = hash((tuple([locate(path, self.reading) for path in fields.media]), fields.question))
        mark = hash(label) & MASK
        known = self._items.get(item)
        if known is None:
            self._keep(self._items, item, place << HALF | mark, place)
        elif known & MASK == mark:
            self.copies.add(known >> HALF, place)
        else:
            self.conflicts.add(known >> HALF, place)
            other = hash((item, label))
            if (earlier := self._others.get(other)) is None:
                self._keep(self._others, other, place, place)
            else:
                self.copies.add(earlier, place)

    def _keep(self, kept: dict[int, int], key: int, value: int, place: Place) -> None:
        if len(self._items) + len(self._others) < MAX_ITEMS:
            kept[key] = value
        elif self.cut is None:
            self.cut = place

    def close(self) -> None:
        """Forget the items, which are large, once all rows are added."""
        self._items.clear()
        self._others.clear()

    def said(self, place: Place) -> str:
        """Return for example "line 3", or "row 3" if lines do not tell rows apart."""
        return f"row {place & MASK}" if self.crowded else f"line {place >> HALF}"

    def address(self, url: str, place: Place) -> str:
        """Return for example "train.jsonl:3"."""
        return f"{url}:{place >> HALF}" + (f" ({self.said(place)})" if self.crowded else "")


def label_warnings(url: str, labels: Counter[str], examples: Examples) -> list[str]:
    """Return the warnings about the examples of the manifest at `url`, a line each.

    labels  rows per label
    """
    return [
        *_few_examples(url, labels, examples),
        *_same_classes(url, labels, examples),
        *_repeated_rows(url, examples),
    ]


def quoted(label: str, written: Callable[[str], str] = repr) -> str:
    """Return a label as a message shows it: in quotes, shortened, with control characters escaped.

    written  `ascii` if the label has to be told from one that looks the same
    """
    return written(label[:LABEL_CHARACTERS]) + ("…" if label[LABEL_CHARACTERS:] else "")


def _few_examples(url: str, labels: Counter[str], examples: Examples) -> Iterator[str]:
    alone = [label for label, count in labels.items() if count == 1]
    if not alone:
        return
    shown = ", ".join(_placed(label, examples) for label in alone[:SHOWN]) + _more(len(alone))
    named = labels.total() if examples.lists else examples.rows
    if named < FEW * len(labels) or 2 * len(alone) > len(labels):
        over = "more than " if named > labels.total() else ""
        yield (
            f"{url}: {over}{len(labels)} classes with {examples.rows} examples: {len(alone)} of the classes "
            f"have only one example: {shown}; is 'label' the class? If it is, add examples"
        )
    else:
        have = "has" if len(alone) == 1 else "have"
        yield (
            f"{url}: {len(alone)} of {len(labels)} classes {have} only one example: {shown}; add examples, "
            "or remove these rows"
        )


def _same_classes(url: str, labels: Iterable[str], examples: Examples) -> Iterator[str]:
    forms: dict[str, list[str]] = {}
    for label in labels:
        forms.setdefault(_form(label), []).append(label)
    same = [group for group in forms.values() if len(group) > 1]
    if same:
        shown = "; ".join(_together(group, examples) for group in same[:SHOWN]) + _more(len(same))
        yield (
            f"{url}: labels that differ only in case, blanks or Unicode form are different classes: {shown}; "
            "write each class in one way"
        )


def _form(label: str) -> str:
    """Return what is the same for labels that differ only in case, blanks or Unicode form."""
    if len(label) > FORM_CHARACTERS:
        return label
    return " ".join(normalize("NFKC", normalize("NFKC", label).casefold()).split())


def _together(group: Sequence[str], examples: Examples) -> str:
    """Return for example "'cat' (line 1) and 'Cat ' (line 3)"."""
    alike = len({normalize("NFC", label) for label in group}) < len(group)
    shown = [_placed(label, examples, ascii if alike else repr) for label in group[:SHOWN]]
    if more := _more(len(group)):
        return ", ".join(shown) + more
    return ", ".join(shown[:-1]) + f" and {shown[-1]}"


def _placed(label: str, examples: Examples, written: Callable[[str], str] = repr) -> str:
    return f"{quoted(label, written)} ({examples.said(examples.first[label])})"


def _more(count: int) -> str:
    """Return how many of `count` are not shown, for example " and 3 others"."""
    more = count - SHOWN
    return f" and {more} {'other' if more == 1 else 'others'}" if more > 0 else ""


def _repeated_rows(url: str, examples: Examples) -> Iterator[str]:
    label = "list of labels" if examples.lists else "label"
    if (found := examples.conflicts).rows:
        yield (
            f"{examples.address(url, found.later)}: the {label} differs from that of "
            f"{examples.said(found.earlier)}, which has the same media and question; in all, "
            f"{_share(found, examples, 'contradict')} an earlier one; correct the labels, or remove the rows"
        )
    if (found := examples.copies).rows:
        yield (
            f"{examples.address(url, found.later)}: the media, question and {label} are those of "
            f"{examples.said(found.earlier)}; in all, {_share(found, examples, 'repeat')} an earlier one; "
            "remove the repeated rows, because each counts as another example"
        )
    if examples.cut is not None:
        yield (
            f"{examples.address(url, examples.cut)}: from here on, rows are compared only with the first "
            f"{MAX_ITEMS:,} different ones; later rows that repeat or contradict each other are not found"
        )


def _share(found: Repeats, examples: Examples, verb: str) -> str:
    """Return for example "3 of 100 rows repeat"."""
    return f"{found.rows} of {examples.rows} rows {verb}{'s' if found.rows == 1 else ''}"

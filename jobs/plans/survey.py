"""What a pass over a manifest finds, in memory that does not depend on the number of its rows."""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from jobs.plans.label_checks import MAX_CLASSES, Examples, label_warnings
from jobs.records.plan import RowKind
from savs.data.formats import Fields
from savs.data.labels import LabelKinds, labels_in
from savs.data.media import is_video
from savs.data.rows import Line
from savs.errors import BadLine, add_cause, told

FIRST = 5  # rows that are shown
NAMED = 3  # values that a message names
MOST_VALUES = 500_000  # that are compared, about 100 bytes each


@dataclass
class Repeated:
    """Values that several rows have: how many rows have one of an earlier row, the first such values, and
    whether there were more values than are compared."""

    rows: int = 0
    named: list[str] = field(default_factory=list)
    full: bool = False
    _seen: set[int] = field(default_factory=set)

    def add(self, value: Hashable, name: str) -> None:
        mark = hash(value)  # 64 bits, which differ between processes
        if mark in self._seen:
            self.rows += 1
            if len(self.named) < NAMED and name not in self.named:
                self.named.append(name)
        elif len(self._seen) < MOST_VALUES:
            self._seen.add(mark)

    def close(self) -> None:
        self.full = self.full or len(self._seen) >= MOST_VALUES
        self._seen.clear()

    def said(self, what: str) -> str:
        """Return for example "12 rows have the id of an earlier row, for example 'a'"."""
        more = f" (compared with the first {MOST_VALUES:,})" if self.full else ""
        several = "rows have" if self.rows > 1 else "row has"
        names = ", ".join(map(repr, self.named))
        return f"{self.rows:,} {several} {what} of an earlier row{more}, for example {names}"


@dataclass
class Survey:
    """The findings of a pass over a manifest, in addition to its shards.

    labels     rows per label; of at most `MAX_LABELS` labels. A row may have several
    kinds      the first lines of a label that is one text and of one that is a list
    questions  the first two different questions
    unasked    rows without a question
    bad        why rows are unusable: each cause with its first row, of at most `SHOWN` causes
    unknown    fields that the format does not use, and the first line that has each
    examples   what the labels of a labelled manifest are checked by; None of other manifests
    ids        ids that several rows have
    media      media that several rows show with the same question
    first      the first rows
    """

    MAX_LABELS = MAX_CLASSES
    MAX_UNKNOWN = 20

    good_rows: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    kinds: LabelKinds = field(default_factory=LabelKinds)
    questions: list[str] = field(default_factory=list)
    unasked: int = 0
    bad: dict[str, BadLine] = field(default_factory=dict)
    problems: int = 0
    kind: RowKind | None = None
    unknown: dict[str, int] = field(default_factory=dict)
    examples: Examples | None = None
    ids: Repeated = field(default_factory=Repeated)
    media: Repeated = field(default_factory=Repeated)
    first: list[Fields] = field(default_factory=list)

    def close(self) -> None:
        """Forget what rows were compared with, which is large, once all rows are added."""
        self.ids.close()
        self.media.close()
        if self.examples is not None:
            self.examples.close()

    @property
    def rows(self) -> int:
        return self.good_rows + self.problems

    def good(self, fields: Fields, line: Line) -> None:
        self.good_rows += 1
        if len(self.first) < FIRST:
            self.first.append(fields)
        if fields.id is not None:
            self.ids.add(fields.id, fields.id)
        if fields.media:
            self.media.add((fields.media, fields.question), fields.media[0])
        self.kinds.see(fields.label, line.number)
        for label in labels_in(fields.label):
            if label in self.labels or len(self.labels) < self.MAX_LABELS:
                self.labels[label] += 1
        if fields.question is None:
            self.unasked += 1
        elif len(self.questions) < 2 and fields.question not in self.questions:
            self.questions.append(fields.question)
        if self.kind is None:
            self.kind = kind_of(fields)
        if self.examples is not None:
            self.examples.add(fields, line)

    def strange(self, names: Iterable[str], line: int) -> None:
        for name in names:
            if len(self.unknown) < self.MAX_UNKNOWN:
                self.unknown.setdefault(name, line)

    def warning(self, url: str) -> str:
        """Return how many rows of the manifest at `url` cannot be used, and why."""
        causes = "".join(f"\n  {url}:{told(bad)}" for bad in self.bad.values())
        return f"{url}: {self.problems} of {self.rows} rows cannot be used and will fail{causes}"

    def repeats(self, url: str) -> list[str]:
        """Return what to say of ids that several rows of the manifest at `url` have."""
        return [] if not self.ids.rows else [f"{url}: {self.ids.said('the id')}"]

    def label_warnings(self, url: str) -> list[str]:
        """Return the warnings about the labels of the manifest at `url`; none if it is not labelled."""
        return [] if self.examples is None else label_warnings(url, self.labels, self.examples)

    def wrong(self, line: int, reason: str) -> None:
        self.problems += 1
        add_cause(self.bad, BadLine(line, reason))


def kind_of(fields: Fields) -> RowKind:
    if any(is_video(path) for path in fields.media):
        return "video"
    return "image" if fields.media else "text"

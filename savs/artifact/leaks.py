"""The leak check: finds corpus rows that are in the training set.

An item is a training row if its question and the bytes of its media, in order, are the same, so that the
prompt is the same. A re-encoded image does not match, nor does a pair in reverse order. For media that
could not be opened, file names are compared instead of bytes, and the leak is not verified.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from savs.artifact.training_row import TrainingRow, question_hash
from savs.data.media import Digest, base_name
from savs.data.samples import Sample


@dataclass(frozen=True)
class Leak:
    """An item that is in the training set.

    training  the training row's id
    verified  whether all its media were compared byte by byte
    """

    training: str
    verified: bool


class TrainingSet:
    """An artifact's training rows, with a lookup by question and media.

    The time of a lookup does not depend on the number of rows.
    """

    def __init__(self, rows: Sequence[TrainingRow]) -> None:
        self.comparable = bool(rows) and all(row.question_sha256 is not None for row in rows)
        self._ids: dict[tuple[str, tuple[Digest, ...], tuple[str, ...]], str] = {}
        self._sizes: set[int] = set()
        for row in rows:
            question, count = row.question_sha256, len(row.sha256)
            if question is None:
                continue
            digests = tuple(map(Digest, row.sizes, row.sha256))
            for opened in range(count + 1):  # keys of items whose other media cannot be opened
                self._ids.setdefault((question, digests[:opened], row.names[opened:]), row.id)
            self._sizes.update(row.sizes)

    def may_hold(self, size: int) -> bool:
        """Return whether a media file of `size` bytes may belong to a row and therefore needs its sha256."""
        return size in self._sizes

    def find(self, question: str, media: Sequence[str], digests: Sequence[Digest]) -> Leak | None:
        """Return the leak if the item is a training row, else None.

        digests  of its media, up to the first that could not be opened; with a sha256 if `may_hold` is true
        """
        names = tuple(map(base_name, media[len(digests) :]))
        row = self._ids.get((question_hash(question), tuple(digests), names))
        return None if row is None else Leak(row, verified=not names)


def find_leaks(
    training: TrainingSet,
    samples: Iterable[Sample],
    question: str | None,
    digests: Mapping[int, tuple[Digest, ...]],
) -> dict[int, Leak]:
    """Return the leaks among `samples` by sample index.

    question  for samples without a question of their own
    digests   as in `savs.engine.extract.Extraction`, extracted with `hashed=training.may_hold`
    """
    found = {}
    for sample in samples:
        asked = sample.question or question
        if asked is not None:
            leak = training.find(asked, sample.media, digests.get(sample.index, ()))
            if leak is not None:
                found[sample.index] = leak
    return found

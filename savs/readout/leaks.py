"""The leak check: which of the items that are labelled are in the training set?

An item is a training row if its question and the bytes of its media, in their order, are the same: then
the model is shown the same prompt. A picture that was encoded anew is another one, and so is a pair in
the other order. Where media could not be opened, file names stand for their bytes, and the find is
not verified.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from savs.data.media import Digest, base_name
from savs.data.samples import Sample
from savs.readout.training_row import TrainingRow, question_hash


@dataclass(frozen=True)
class Leak:
    """An item that is in the training set.

    training  the training row's id
    verified  whether all its media were compared byte by byte
    """

    training: str
    verified: bool


class TrainingSet:
    """An artifact's training rows, to be asked whether an item is one of them.

    Asking costs the same however many rows there are.
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
            for opened in range(count + 1):  # what an item is known by whose other media cannot be opened
                self._ids.setdefault((question, digests[:opened], row.names[opened:]), row.id)
            self._sizes.update(row.sizes)

    def may_hold(self, size: int) -> bool:
        """Whether a medium of `size` bytes may be a row's, so that it is worth its sha256."""
        return size in self._sizes

    def find(self, question: str, media: Sequence[str], digests: Sequence[Digest]) -> Leak | None:
        """The row that an item is, if it is one.

        digests  of its media, as far as they could be opened; with a sha256 where `may_hold` said so
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
    """Those of `samples` that are in the training set, by their index.

    question  of samples that have none of their own
    digests   as in `savs.engine.extract.Extraction`, for which `training.may_hold` said what to hash
    """
    found = {}
    for sample in samples:
        asked = sample.question or question
        if asked is not None:
            leak = training.find(asked, sample.media, digests.get(sample.index, ()))
            if leak is not None:
                found[sample.index] = leak
    return found

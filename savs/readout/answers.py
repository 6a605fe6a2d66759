"""Answers in the order of their items, as a list and as a table."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

from savs.data.result_table import COLUMNS, to_arrow, to_pandas
from savs.engine.extract import Extraction
from savs.errors import WrongType, WrongValue
from savs.readout.answer import Answer, MultiAnswer

if TYPE_CHECKING:
    import pandas
    import pyarrow

AnyAnswer = TypeVar("AnyAnswer", Answer, MultiAnswer)
ONE_LABEL = ("prediction", "confidence", "margin", "entropy", "votes", "scores")
SEVERAL = ("predictions", "scores")
OF_SAMPLES = ("index", "id", "media", "label", "labels", "error", "message", "extra")


class Answers(list[AnyAnswer]):
    """The answers of `classify`: a list of them, that can also be had as a table.

    The columns are those of result rows (docs/ledger.md): `prediction`, `confidence`, `margin`, `entropy`,
    `votes` and `scores`; or `predictions` and `scores` with several labels per item. With the corpus that was
    classified there is a row for every sample, also for those with an error, and further columns: `index`,
    `id`, `media`, `label`, `labels`, `error` (the kind), `message` and `extra`.
    """

    @overload
    def __getitem__(self, place: SupportsIndex) -> AnyAnswer: ...

    @overload
    def __getitem__(self, place: slice) -> "Answers[AnyAnswer]": ...

    def __getitem__(self, place: SupportsIndex | slice) -> "AnyAnswer | Answers[AnyAnswer]":
        found = super().__getitem__(place)
        return Answers(found) if isinstance(place, slice) else found  # type: ignore[arg-type, return-value]

    def to_pandas(self, corpus: Extraction | None = None) -> "pandas.DataFrame":
        """Return a DataFrame with a row per answer, or per sample of `corpus`, whose vectors were classified.

        Raises WrongValue if it has more or fewer samples, and NotInstalled if pandas is not installed.
        """
        return to_pandas(self._rows(corpus), self._columns(corpus))

    def to_arrow(self, corpus: Extraction | None = None) -> "pyarrow.Table":
        """Return an Arrow table of the same rows. Raises WrongValue, and NotInstalled without pyarrow."""
        return to_arrow(self._rows(corpus), self._columns(corpus))

    def _columns(self, corpus: Extraction | None) -> list[str]:
        own = SEVERAL if self and isinstance(self[0], MultiAnswer) else ONE_LABEL
        return [name for name in COLUMNS if name in own or (corpus is not None and name in OF_SAMPLES)]

    def _rows(self, corpus: Extraction | None) -> Iterator[dict[str, Any]]:
        if corpus is None:
            return map(_cells, self)
        if not isinstance(corpus, Extraction):
            raise WrongType(f"corpus is of type {type(corpus).__name__}; pass what extract returned")
        if len(corpus.samples) != len(self):
            raise WrongValue(
                f"{len(self)} answers, and the corpus has {len(corpus.samples)} samples; pass the one whose "
                "vectors were classified"
            )
        return self._rows_of(corpus)

    def _rows_of(self, corpus: Extraction) -> Iterator[dict[str, Any]]:
        answers = iter(self)
        for sample in corpus.asked or corpus.samples:
            error = corpus.errors.get(sample.index)
            known = {"index": sample.index, "id": sample.id, "media": sample.media, "label": sample.label}
            found = _cells(next(answers)) if error is None else {}
            reason = None if error is None else {"kind": error.kind, "message": str(error)}
            yield known | found | {"error": reason, "extra": sample.extra}


def _cells(answer: Answer | MultiAnswer) -> dict[str, Any]:
    names = ONE_LABEL if isinstance(answer, Answer) else SEVERAL
    return {name: getattr(answer, name) for name in names}

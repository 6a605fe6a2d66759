"""Result rows: one line of JSON per item.

Their format is a contract, documented in `docs/ledger.md`: users' scripts read these lines.
"""

import json
from typing import Annotated, Any

from pydantic import Field

from jobs.records.record import Record
from savs.data.labels import Label
from savs.data.media import Digest


class RowError(Record):
    """Why an item has no label. `kind` is that of an ItemError in `savs.errors`."""

    kind: str
    message: str


class ResultRow(Record):
    """One item and one task. Fields that are None are left out, except `prediction`.

    predictions  of a task with several labels per item, whose rows have neither `prediction` nor `votes`
    label        as in the manifest: one text, or a list of labels
    artifact     which fit labelled it: `Artifact.digest`, which `show` prints
    extra        values of the manifest's row that its format does not use
    notes        what is odd about its media, although they could be read
    """

    index: Annotated[int, Field(ge=0)]
    id: str
    task: str
    media: tuple[str, ...] = ()
    prediction: str | None = None
    predictions: tuple[str, ...] | None = None
    votes: dict[str, int] = Field(default_factory=dict)
    confidence: float | None = None
    margin: float | None = None
    entropy: float | None = None
    scores: dict[str, float] | None = None
    label: Label | None = None
    artifact: str | None = None
    extra: dict[str, Any] | None = None
    notes: tuple[str, ...] | None = None
    error: RowError | None = None

    def line(self) -> bytes:
        """The row as a line of JSON, newline included."""
        row = self.model_dump(exclude_none=True)
        if self.predictions is None:
            row["prediction"] = self.prediction
        else:
            del row["votes"]
        row = {name: row[name] for name in type(self).model_fields if name in row}
        # Half a character, which `extra` may hold, becomes JSON's own escape of it.
        return json.dumps(row, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


class ExampleRow(Record):
    """One row in a part of vectors: a training example, or a row of a pilot, which need not have a label.

    sha256, sizes  of its media, in order; sizes in bytes
    notes          of a row of a pilot, as in a `ResultRow`
    """

    index: Annotated[int, Field(ge=0)]
    id: str
    task: str
    media: tuple[str, ...] = ()
    question: str | None = None
    label: Label | None = None
    sha256: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    notes: tuple[str, ...] | None = None
    error: RowError | None = None

    @property
    def digests(self) -> tuple[Digest, ...]:
        """Digests of its media; fewer if not all were hashed."""
        return tuple(map(Digest, self.sizes, self.sha256))

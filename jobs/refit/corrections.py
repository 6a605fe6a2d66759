"""What people have said of rows: the right label, or that an item cannot be used."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from savs.data.labels import Label
from savs.errors import SettingsError


@dataclass(frozen=True)
class Correction:
    """One correction.

    where     the file and its line or task, for messages
    label     the right label; None if the item is unusable
    index     of a row of the corpus; None if `id` or `training` says which row it is
    id        of the row; beside `index` or `training` it is compared with the row's
    training  number of an example among the training rows, from 0 on; None for a row of the corpus
    task      whose rows are meant, or None
    """

    where: str
    label: Label | None
    index: int | None = None
    id: str | None = None
    training: int | None = None
    task: str | None = None


@dataclass(frozen=True)
class Corrections:
    """The corrections of one job: of its rows, by their index or id, and of its examples, by their number.
    `elsewhere` is the number of those that are of other tasks."""

    by_index: dict[int, Correction] = field(default_factory=dict)
    by_id: dict[str, Correction] = field(default_factory=dict)
    training: dict[int, Correction] = field(default_factory=dict)
    elsewhere: int = 0

    def __len__(self) -> int:
        return len(self.by_index) + len(self.by_id)

    def of_row(self, index: int, id: str) -> Correction | None:
        """Return the correction of a row of the corpus; None if it has none. Raises SettingsError if it names
        another id than the row's."""
        found = self.by_index.get(index)
        if found is None:
            return self.by_id.get(id)
        check_id(found, f"row {index}", id)
        return found


def check_id(correction: Correction, called: str, id: str) -> None:
    """Raise SettingsError if a correction names another id than that of the row it is of."""
    if correction.id is not None and correction.id != id:
        raise SettingsError(
            f"{correction.where}: {called} has the id {id!r:.60}, not {correction.id!r:.60}; is this file of "
            "another job?"
        )


def corrections_of(given: Iterable[Correction], tasks: Collection[str]) -> Corrections:
    """Return those of a job's rows, which `tasks` call; of several for one row, the last counts. Raises
    SettingsError if there are none."""
    found, elsewhere = Corrections(), 0
    others: dict[str, int] = {}
    for one in given:
        if one.task is not None and one.task not in tasks:
            elsewhere += 1
            others[one.task] = others.get(one.task, 0) + 1
        elif one.training is not None:
            found.training[one.training] = one
        elif one.index is not None:
            found.by_index[one.index] = one
        elif one.id is not None:
            found.by_id[one.id] = one
    if elsewhere and not found and not found.training:
        named = ", ".join(repr(name) for name in [*others][:5])
        raise SettingsError(f"all {elsewhere} corrections are of other tasks: {named}")
    return Corrections(found.by_index, found.by_id, found.training, elsewhere)

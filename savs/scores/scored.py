"""A row with what became of it: what scores are counted from (`savs.scores.metrics`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from savs.data.formats import Seat, format_of
from savs.scores.clusters import key_of
from savs.scores.groups import GROUPINGS


@dataclass(frozen=True, slots=True)
class Scored:
    """A row as far as scores care.

    index       the row's number in its manifest, from 0
    prediction  None where it failed, or abstained
    label       None where it is not known
    error       the kind of error, where it failed
    scores      class → 0 to 1, for example its share of the votes (`savs.scores.ranking.shares`); a class
                that is left out has 0. Empty if there are none; then the row does not count for average
                precision
    format      a name of savs.data.formats.FORMATS, which says how rows form groups
    group       as in the sample: a name that rows share, where they have one
    split       under which the row is also scored apart
    media       addresses of what it shows
    """

    index: int
    prediction: str | None = None
    label: str | None = None
    error: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    format: str = "general"
    group: str | None = None
    split: str | None = None
    media: tuple[str, ...] = ()

    @property
    def seat(self) -> Seat | None:
        """Its place among the rows that are scored with it. Raises SettingsError where there is no
        such format."""
        seating = format_of(self.format).seat
        return None if seating is None else seating(self.index, self.group, self.label)

    @property
    def picture(self) -> int | None:
        """The key of all that it shows; None where it shows nothing."""
        return key_of(*self.media) if self.media else None

    @property
    def cluster(self) -> int | None:
        """The key that it shares with the rows that are not independent of it: those of its group, or
        those that show the same, which are more where a group shows only one thing. None where it
        shares nothing."""
        seat = self.seat
        if seat is None or (GROUPINGS[self.format].one_picture and self.media):
            return self.picture
        return key_of(self.format, seat.group)

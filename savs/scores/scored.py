"""A row with its outcome, from which scores are counted (`savs.scores.metrics`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from savs.data.formats import Seat, format_of
from savs.scores.clusters import key_of
from savs.scores.groups import GROUPINGS


@dataclass(frozen=True, slots=True)
class Scored:
    """The parts of a row and its outcome that scores depend on.

    index       the row's number in its manifest, from 0
    prediction  None if it failed or abstained
    label       None if it is not known
    error       the kind of error, if it failed
    scores      class → 0 to 1, for example its share of the votes (`savs.scores.ranking.shares`); a class
                that is left out has 0. Empty if there are none; then the row does not count for average
                precision
    format      a name in savs.data.formats.FORMATS, which defines how rows form groups
    group       as in the sample: a name that rows share, if they have one
    split       name under which the row is also scored separately
    media       addresses of the media it shows
    confidence  of the likeliest class, 0 to 1; None if it has none
    likeliest   the class of that confidence, also if the row abstained; None if it is the prediction
    probabilistic  whether `scores` are probabilities; then the row counts for the shares of classes
    predictions  with several labels per item, in place of `prediction`; else None
    labels       with several labels per item, in place of `label`; None if they are not known
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
    confidence: float | None = None
    likeliest: str | None = None
    probabilistic: bool = False
    predictions: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None

    @property
    def seat(self) -> Seat | None:
        """Its place among the rows that are scored with it. Raises SettingsError if its format does
        not exist."""
        seating = format_of(self.format).seat
        return None if seating is None else seating(self.index, self.group, self.label)

    @property
    def picture(self) -> int | None:
        """The key of all media that it shows; None if it shows none."""
        return key_of(*self.media) if self.media else None

    @property
    def cluster(self) -> int | None:
        """The key that it shares with the rows that are not independent of it: those of its group;
        or, if it has no group or groups show only one image, those that show the same media. None if it
        shares nothing."""
        seat = self.seat
        if seat is None or (GROUPINGS[self.format].one_picture and self.media):
            return self.picture
        return key_of(self.format, seat.group)

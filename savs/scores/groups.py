"""Rows that are scored together: pairs, and NaturalBench's groups of four.

If the rows of a group are in different shards, or one is retried later, the group stays open until its
last row is added. Then it is only counted, so that memory does not grow with the number of groups.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from savs.scores.clusters import Cell, Clusters, RatePart
from savs.scores.intervals import Rate, rate_of

MILLION = 1_000_000  # a score of 1, as an integer for comparing scores
PREFERRED = "preferred"  # the class by whose score the answers of a pair are ranked
MAX_WHOLE = 16_384  # complete groups that are kept open, if names may repeat


@dataclass(frozen=True)
class Grouping:
    """How a format's groups are scored.

    roles     of the rows of a group
    pictures  per role, which of the group's images the row shows
    rates     rate → how often a group counts for it
    outcome   function from the values of the rows, in the order of roles, to the hits of each rate
    ranked    whether a row's value is its score for PREFERRED, instead of whether it is right
    in_order  whether groups are consecutive rows, and numbered; then no role repeats
    """

    roles: tuple[str, ...]
    pictures: tuple[int, ...]
    rates: Mapping[str, int]
    outcome: Callable[[tuple[int, ...]], tuple[int, ...]]
    ranked: bool = False
    in_order: bool = True

    @property
    def one_picture(self) -> bool:
        """True if all rows of a group show the same image. Then other groups may show it, too."""
        return len(set(self.pictures)) == 1


def _four(right: tuple[int, ...]) -> tuple[int, ...]:
    """NaturalBench (Li et al. 2024, arXiv 2410.14669): two questions, each about both of two images, in
    the order (q0, i0), (q0, i1), (q1, i0), (q1, i1). Returns the number of questions answered correctly
    for both images, of images for which both questions are, and 1 if all four are, else 0."""
    a, b, c, d = right
    return a * b + c * d, a * c + b * d, a * b * c * d


def _both(right: tuple[int, ...]) -> tuple[int, ...]:
    """SugarCrepe, as published: 1 if the true caption is accepted and the false one refused."""
    return (int(all(right)),)


def _ranked(scores: tuple[int, ...]) -> tuple[int, ...]:
    """Multimodal RewardBench: 1 if the preferred answer scores strictly higher; and 1 for a tie."""
    preferred, other = scores
    return int(preferred > other), int(preferred == other)


GROUPINGS: Mapping[str, Grouping] = {
    "natural_ret": Grouping(
        roles=("0", "1", "2", "3"),
        pictures=(0, 1, 0, 1),
        rates={"questions": 2, "images": 2, "groups": 1},
        outcome=_four,
    ),
    "sugarcrepe": Grouping(roles=("0", "1"), pictures=(0, 0), rates={"pairs": 1}, outcome=_both),
    "mrb_individual": Grouping(
        roles=(PREFERRED, "non-preferred"),
        pictures=(0, 0),
        rates={"pairs": 1, "tied": 1},
        outcome=_ranked,
        ranked=True,
        in_order=False,
    ),
}


class Member(NamedTuple):
    """A row's entry in its group: its value, the key of the media it shows, and its split."""

    value: int
    picture: int | None
    split: str | None


@dataclass
class Groups:
    """The groups of one format.

    open      group → role → its row, None if several rows have that role; if groups are not numbered,
              it also holds groups in which no row has a value yet
    closed    counts of closed groups, by outcome and image
    unlike    closed groups whose rows do not show the images that the format requires
    numbers   the first and the last group that any row belongs to, if groups are numbered

    Groups close as soon as they are complete. In formats whose names may repeat, they are kept open until
    they are scored, so that repeats are detected. Beyond MAX_WHOLE they close, too; a third row of such a
    name, or a row that failed and was retried, may then be counted as one more open group.
    """

    format: str
    open: dict[str, dict[str, Member | None]] = field(default_factory=dict)
    closed: Clusters = field(default_factory=Clusters)
    unlike: int = 0
    numbers: tuple[int, int] | None = None

    @property
    def grouping(self) -> Grouping:
        return GROUPINGS[self.format]

    def see(self, group: str) -> None:
        """Record that a row belongs to `group`, whether it has a value or not."""
        if self.grouping.in_order:
            self._span(int(group), int(group))
        else:
            self.open.setdefault(group, {})

    def add(self, group: str, role: str, member: Member) -> None:
        """Count a row."""
        self._join(group, {role: member})

    def update(self, other: "Groups") -> None:
        """Add `other`, of the same format and manifest, to this one."""
        for group, members in other.open.items():
            self._join(group, members)
        self.closed.update(other.closed)
        self.unlike += other.unlike
        if other.numbers is not None:
            self._span(*other.numbers)

    def _span(self, first: int, last: int) -> None:
        before = self.numbers or (first, last)
        self.numbers = min(first, before[0]), max(last, before[1])

    def _join(self, group: str, members: Mapping[str, Member | None]) -> None:
        here = self.open.setdefault(group, {})
        here.update({role: None if role in here else member for role, member in members.items()})
        if self.grouping.in_order or len(self.open) > MAX_WHOLE:
            self._close_if_whole(group)

    def _close_if_whole(self, group: str) -> None:
        members = [self.open[group].get(role) for role in self.grouping.roles]
        whole = [member for member in members if member is not None]
        if len(whole) < len(members):
            return
        del self.open[group]
        shown = dict(zip(self.grouping.pictures, (member.picture for member in whole), strict=True))
        self.unlike += any(
            member.picture != shown[picture]
            for member, picture in zip(whole, self.grouping.pictures, strict=True)
        )
        cell = Cell(self.grouping.outcome(tuple(member.value for member in whole)), whole[0].split)
        self.closed.add(cell, whole[0].picture if self.grouping.one_picture else None)

    def settled(self) -> "Groups":
        """A copy in which every complete group is closed."""
        copy = Groups(self.format)
        copy.update(self)
        for group in list(copy.open):
            copy._close_if_whole(group)
        return copy


@dataclass(frozen=True)
class GroupScores:
    """The scores of a format's groups. The rows of a rate are groups, unless stated otherwise.

    rates     natural_ret: `questions` and `images` (two a group) and `groups`; sugarcrepe: `pairs`;
              mrb_individual: `pairs`, and `tied`, which are pairs of equal scores and count as wrong
    splits    the same for each split
    scored    groups
    unscored  groups of which rows failed, abstained, have no label, or are missing
    doubled   groups, not scored either, in which several rows have the same label
    unlike    scored groups whose rows do not show the images that the format requires
    """

    rates: dict[str, Rate]
    splits: dict[str, dict[str, Rate]]
    scored: int
    unscored: int
    doubled: int
    unlike: int


def score_groups(groups: Groups) -> GroupScores | None:
    """The scores of all complete groups; None if there are neither complete nor open groups."""
    settled = groups.settled()
    grouping, closed = groups.grouping, settled.closed
    scored = closed.alone.total() + sum(counts.total() for counts in closed.shared.values())
    if not scored and not settled.open:
        return None

    def measure(cell: Cell) -> Iterable[RatePart]:
        for (rate, times), hits in zip(grouping.rates.items(), cell.outcome, strict=True):
            for split in {None, cell.split}:
                yield (rate, split), times, hits

    sizes = closed.sizes(measure)
    found = {name: rate_of(sizes[name]) for name in sizes}
    names = sorted({split for _, split in sizes if split is not None})
    doubled = sum(None in members.values() for members in settled.open.values())
    unscored = len(settled.open) - doubled
    if settled.numbers is not None:
        first, last = settled.numbers
        unscored = max(unscored, last - first + 1 - scored - doubled)
    return GroupScores(
        rates={rate: found[rate, None] for rate in grouping.rates if scored},
        splits={split: {rate: found[rate, split] for rate in grouping.rates} for split in names},
        scored=scored,
        unscored=unscored,
        doubled=doubled,
        unlike=settled.unlike,
    )

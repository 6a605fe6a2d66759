"""Rows that are scored together: pairs, and NaturalBench's groups of four.

A group whose rows lie in different shards, or of which a row is done again later, stays open until its
last row comes; then it is one more count, so that what is kept does not grow with the groups.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from savs.scores.clusters import Cell, Clusters, RatePart
from savs.scores.intervals import Rate, rate_of

MILLION = 1_000_000  # a score of 1, where two scores are compared
PREFERRED = "preferred"  # the class by whose score the answers of a pair are ranked
MAX_WHOLE = 16_384  # groups that are kept although they are whole, where names may come twice


@dataclass(frozen=True)
class Grouping:
    """How a format's groups are scored.

    roles     of the rows of a group
    pictures  per role, which of the group's pictures the row shows
    rates     what a group is scored by, and how often it counts there
    outcome   from the values of the rows, in the order of roles, to the hits of each rate
    ranked    whether a row's value is its score for PREFERRED, and not whether it is right
    in_order  whether groups are so many rows after another, and numbered; then no role comes twice
    """

    roles: tuple[str, ...]
    pictures: tuple[int, ...]
    rates: Mapping[str, int]
    outcome: Callable[[tuple[int, ...]], tuple[int, ...]]
    ranked: bool = False
    in_order: bool = True

    @property
    def one_picture(self) -> bool:
        """Whether all rows of a group show the same. Then other groups may show it, too."""
        return len(set(self.pictures)) == 1


def _four(right: tuple[int, ...]) -> tuple[int, ...]:
    """NaturalBench (Li et al. 2024, arXiv 2410.14669): of two questions, each about both of two images,
    in the order (q0, i0), (q0, i1), (q1, i0), (q1, i1), those answered right about both; the images of
    which both are; and whether all four are."""
    a, b, c, d = right
    return a * b + c * d, a * c + b * d, a * b * c * d


def _both(right: tuple[int, ...]) -> tuple[int, ...]:
    """SugarCrepe, as published: the true caption accepted and the false one refused."""
    return (int(all(right)),)


def _ranked(scores: tuple[int, ...]) -> tuple[int, ...]:
    """Multimodal RewardBench: the preferred answer strictly before the other; and ties."""
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
    """What a row says to its group: its value, the key of what it shows, and its split."""

    value: int
    picture: int | None
    split: str | None


@dataclass
class Groups:
    """The groups of one format.

    open      group → role → its row, None where several rows have that role; a group of which no row has
              a value yet is there, too, where groups are not numbered
    closed    groups, by outcome and picture
    unlike    closed groups whose rows do not show the pictures that the format says
    numbers   the first and the last group that any row belongs to, where they are numbered

    Groups close as soon as they are whole. Those of formats whose names may come twice are kept until
    they are scored, so that it shows. Beyond MAX_WHOLE they close, too; a third row of such a name, or a
    row that failed and was done again, may then be counted as one more that is open.
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
        """Notes that a row belongs to `group`, whether it has a value or not."""
        if self.grouping.in_order:
            self._span(int(group), int(group))
        else:
            self.open.setdefault(group, {})

    def add(self, group: str, role: str, member: Member) -> None:
        """Counts a row."""
        self._join(group, {role: member})

    def update(self, other: "Groups") -> None:
        """Adds `other`, of the same format and manifest, to this one."""
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
        """A copy in which every group that is whole is closed."""
        copy = Groups(self.format)
        copy.update(self)
        for group in list(copy.open):
            copy._close_if_whole(group)
        return copy


@dataclass(frozen=True)
class GroupScores:
    """The scores of a format's groups. The rows of a rate are groups, but for those that say otherwise.

    rates     natural_ret: `questions` and `images` (two a group) and `groups`; sugarcrepe: `pairs`;
              mrb_individual: `pairs`, and `tied`, which are pairs of equal scores and count as wrong
    splits    the same for each split
    scored    groups
    unscored  groups of which rows failed, have no label, or are not there
    doubled   groups, not scored either, in which several rows have the same label
    unlike    groups among those scored whose rows do not show the pictures that the format says
    """

    rates: dict[str, Rate]
    splits: dict[str, dict[str, Rate]]
    scored: int
    unscored: int
    doubled: int
    unlike: int


def score_groups(groups: Groups) -> GroupScores | None:
    """The scores of all groups that are whole; None where no row has said anything."""
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

"""Every score, computed slowly and in one piece from all rows of a manifest, as the method's text has it."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import groupby
from typing import Any

from savs.scores.intervals import student, wilson
from savs.scores.scored import Scored

Interval = tuple[float, float]


def usable(rows: Iterable[Scored]) -> list[Scored]:
    return [row for row in rows if row.label is not None and row.prediction is not None]


def right(row: Scored) -> int:
    return int(row.prediction == row.label)


def rate(clusters: list[list[int]]) -> dict[str, Any]:
    """Of the hits in every cluster, which is a list of zeros and ones."""
    rows = [hit for cluster in clusters for hit in cluster]
    return {
        "rows": len(rows),
        "rate": float(Fraction(sum(rows), len(rows))),
        "interval": interval(clusters),
    }


def interval(clusters: list[list[int]]) -> Interval:
    rows = [hit for cluster in clusters for hit in cluster]
    n, m, p = len(rows), len(clusters), Fraction(sum(rows), len(rows))
    effective = Fraction(n)
    if m < n:
        if m == 1 or p in (0, 1):
            effective = Fraction(n**2, sum(len(cluster) ** 2 for cluster in clusters))
        else:
            variance = Fraction(m, m - 1) * sum((sum(c) - p * len(c)) ** 2 for c in clusters) / n**2
            if variance:
                ratio = Fraction(student(n - 1)) / Fraction(student(m - 1))
                effective = min(effective, p * (1 - p) / variance * ratio**2)
    return wilson(float(p * effective), float(effective))


def together(rows: Iterable[Scored]) -> list[list[Scored]]:
    """Rows that are not independent of each other: those of a group of four, else those that show the
    same, else those of a pair."""

    def shared(row: Scored) -> tuple[Any, ...]:
        if row.format == "natural_ret":
            return ("four", row.index // 4)
        if row.media:
            return ("media", *row.media)
        if row.format == "sugarcrepe":
            return ("pair", row.index // 2)
        if row.format == "mrb_individual" and row.group is not None:
            return ("pair", row.group)
        return ("row", row.index)

    return split_by(rows, shared)


def split_by(rows: Iterable[Any], key: Any) -> list[list[Any]]:
    return [list(found) for _, found in groupby(sorted(rows, key=lambda row: str(key(row))), key)]


def rate_of_rows(rows: list[Scored]) -> dict[str, Any]:
    return rate([[right(row) for row in cluster] for cluster in together(rows)])


def classes(rows: list[Scored]) -> dict[str, dict[str, Any]]:
    found = {}
    for name in sorted({str(row.label) for row in rows} | {str(row.prediction) for row in rows}):
        labelled = [row for row in rows if row.label == name]
        predicted = [row for row in rows if row.prediction == name]
        recall = rate_of_rows(labelled) if labelled else {"rate": None, "interval": None}
        precision = rate_of_rows(predicted) if predicted else {"rate": None, "interval": None}
        ranked = [row for row in rows if row.scores]
        hits = sum(map(right, labelled))
        found[name] = {
            "rows": len(labelled),
            "recall": recall["rate"],
            "recall_interval": recall["interval"],
            "precision": precision["rate"],
            "precision_interval": precision["interval"],
            "f1": 2 * hits / (len(labelled) + len(predicted)),
            "average_precision": average_precision(
                [(row.scores.get(name, 0.0), row.label == name) for row in ranked]
            ),
        }
    return found


def average_precision(rows: list[tuple[float, bool]]) -> float | None:
    """Σ (R_n − R_{n−1}) P_n, one threshold after another over all rows."""
    positives = sum(positive for _, positive in rows)
    if not positives:
        return None
    found, before = 0.0, 0.0
    for threshold in sorted({score for score, _ in rows}, reverse=True):
        taken = [positive for score, positive in rows if score >= threshold]
        recall = sum(taken) / positives
        found += (recall - before) * sum(taken) / len(taken)
        before = recall
    return found


def group_rates(rows: list[Scored]) -> dict[str, Any]:
    """Rates over all groups that are whole; `rows` are of one format."""
    wholes = [group for group in groups(rows) if is_whole(group)]
    if not wholes:
        return {}
    if rows[0].format == "natural_ret":
        fours = [[right(row) for row in sorted(group, key=lambda row: row.index)] for group in wholes]
        return {
            "questions": rate([[a and b, c and d] for a, b, c, d in fours]),
            "images": rate([[a and c, b and d] for a, b, c, d in fours]),
            "groups": rate([[int(all(four))] for four in fours]),
        }
    ranked = rows[0].format == "mrb_individual"
    # Where the rows of a pair show different things, what its first one shows counts.
    found = [
        (min(group, key=lambda row: (ranked and row.label != "preferred", row.index)), hits_of_pair(group))
        for group in wholes
    ]
    clusters = split_by(found, lambda pair: pair[0].media or ("alone", pair[0].index))
    return {name: rate([[hits[name] for _, hits in cluster] for cluster in clusters]) for name in found[0][1]}


def groups(rows: list[Scored]) -> list[list[Scored]]:
    if rows[0].format == "mrb_individual":
        return split_by([row for row in rows if row.scores], lambda row: row.group)
    size = 4 if rows[0].format == "natural_ret" else 2
    return split_by(rows, lambda row: row.index // size)


def is_whole(group: list[Scored]) -> bool:
    if group[0].format == "mrb_individual":
        return sorted(str(row.label) for row in group) == ["non-preferred", "preferred"]
    return len(group) == (4 if group[0].format == "natural_ret" else 2)


def is_doubled(group: list[Scored]) -> bool:
    return group[0].format == "mrb_individual" and len({row.label for row in group}) < len(group)


def hits_of_pair(pair: list[Scored]) -> dict[str, int]:
    if pair[0].format == "sugarcrepe":
        return {"pairs": int(all(map(right, pair)))}
    scores = {row.label: row.scores.get("preferred", 0.0) for row in pair}
    preferred, other = scores["preferred"], scores["non-preferred"]
    return {"pairs": int(preferred > other), "tied": int(preferred == other)}


def unscored(rows: list[Scored], manifest: list[Scored]) -> int:
    """Groups that any row of `manifest` belongs to, but for those that are whole or doubled in `rows`."""
    if rows[0].format == "mrb_individual":
        names = len({row.group for row in manifest if row.label is not None})
    else:
        names = len(groups(manifest))
    return names - sum(is_whole(group) or is_doubled(group) for group in groups(rows))


def scores_of_groups(rows: list[Scored], manifest: list[Scored]) -> dict[str, Any] | None:
    """All but `unlike`; None where no row can be scored with others."""
    if rows[0].format == "general":
        return None
    splits = sorted({row.split for row in rows if row.split is not None})
    by_split = {split: group_rates([row for row in rows if row.split == split]) for split in splits}
    return {
        "rates": group_rates(rows),
        "splits": {split: rates for split, rates in by_split.items() if rates},
        "scored": sum(map(is_whole, groups(rows))),
        "unscored": unscored(rows, manifest),
        "doubled": sum(map(is_doubled, groups(rows))),
    }

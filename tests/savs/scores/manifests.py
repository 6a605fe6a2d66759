"""Manifests with results, for hypothesis: rows of every format that has groups, and of none."""

from dataclasses import replace

from hypothesis import strategies as st

from savs.scores.scored import Scored

LABELS = {
    "general": ("cat", "dog", "owl"),
    "natural_ret": ("Yes", "No"),
    "sugarcrepe": ("Yes", "No"),
    "mrb_individual": ("preferred", "non-preferred"),
}
HEADS = 20


@st.composite
def answered(draw: st.DrawFn, format: str, index: int) -> Scored:
    """A row that did not fail. Some have no label, some no scores, some no confidence, and some abstained."""
    names = LABELS[format]
    label = draw(st.sampled_from(names))
    first = draw(st.integers(0, HEADS))
    votes = {names[0]: first, names[1]: HEADS - first}
    prediction = max(votes, key=lambda name: votes[name])
    scores = {name: count / HEADS for name, count in votes.items() if count}
    said = draw(st.sampled_from([prediction] * 8 + [None, "never a label"]))
    row = Scored(
        index=index,
        prediction=said,
        label=draw(st.sampled_from([label] * 9 + [None])),
        scores=draw(st.sampled_from([scores] * 5 + [{}])),
        format=format,
        split=draw(st.sampled_from(["swap", "add", None])) if format == "general" else None,
        media=draw(st.sampled_from([("a.jpg",), ("b.jpg",), ("c.jpg", "d.jpg"), ()])),
        confidence=draw(st.sampled_from([max(votes.values()) / HEADS] * 5 + [None])),
        likeliest=prediction if said is None else None,
        probabilistic=draw(st.booleans()),
    )
    if format == "sugarcrepe":
        pair = index // 2
        return replace(row, split=("swap", "add")[pair % 2], media=(f"{pair // 3}.jpg",))
    if format == "mrb_individual":
        # mostly the two rows of a pair, with some pairs broken, and now and then a third row
        pair = index // 2 if index % 7 else 0
        return replace(row, group=f"q{pair}", label=label if index % 5 == 0 else names[index % 2])
    return row


@st.composite
def manifests(draw: st.DrawFn, max_rows: int = 24) -> list[tuple[Scored, Scored | None]]:
    """Each row as it ends, and, where it failed at first and was done again, as it was before."""
    format = draw(st.sampled_from(sorted(LABELS)))
    rows: list[tuple[Scored, Scored | None]] = []
    for index in range(draw(st.integers(1, max_rows))):
        good = draw(answered(format, index))
        nothing = Scored(index, label=good.label, error="missing_media")
        failed = replace(nothing, format=format, group=good.group, split=good.split, media=good.media)
        rows.append(draw(st.sampled_from([(good, None)] * 4 + [(good, failed), (failed, None)])))
    return rows

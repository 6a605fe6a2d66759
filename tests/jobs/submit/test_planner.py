"""A manifest is cut into shards by byte offset, and no row is lost or read twice."""

import json
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from jobs.plans.planner import plan_manifest
from jobs.records.plan import Plan
from savs.data.rows import BOM, is_list, read_lines
from savs.errors import ManifestError, NotFound, SettingsError

GOOD = {"image": "a.png", "question": "What is it?", "label": "cat"}

row = st.builds(
    lambda text, number: json.dumps({"question": text, "n": number}, ensure_ascii=False).encode(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.integers(0, 10**12),
)
blank = st.sampled_from([b"", b" ", b"\t", b"  \t "])
rubbish = st.binary(min_size=1, max_size=20).filter(lambda b: b"\n" not in b)
line = st.one_of(row, row, row, blank, rubbish)
ending = st.sampled_from([b"\n", b"\r\n"])
manifest = st.builds(
    lambda bom, lines, last: (BOM if bom else b"") + b"".join(a + b for a, b in lines) + last,
    st.booleans(),
    st.lists(st.tuples(line, ending), max_size=40),
    st.one_of(st.just(b""), row),  # with or without a newline at the end of the file
)


USABLE = b'{"question": "?"}\n'


def plain_rows(data: bytes) -> list[tuple[int, bytes]]:
    """Line number and text of every row: the simplest reading there is."""
    text = data.removeprefix(BOM)
    return [(n, one) for n, one in enumerate(text.split(b"\n"), 1) if one.strip()]


def planned_rows(data: bytes, plan: Plan) -> list[tuple[int, int, bytes]]:
    """Index, line number and text of every row, read as workers do: by the shards' bytes alone."""
    return [
        (found.index, found.number, found.data.removesuffix(b"\n"))
        for shard in plan
        for found in read_lines(
            BytesIO(data[shard.offset : shard.offset + shard.length]), shard.first_index, shard.first_line
        )
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(data=BOM + b"\r\n\n " + b'{"a": 1}\r\n' * 5 + b'{"a": 2}', size=2)
@example(data=BOM + b'{"a": 1}\n', size=1)
@example(data=b"3\n[\n", size=1)
@given(data=manifest, size=st.integers(1, 7))
def test_shards_hold_every_row_once_under_its_own_index_and_line(
    tmp_path: Path, data: bytes, size: int
) -> None:
    assume(not is_list(data))  # one JSON list is another matter
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    expected = plain_rows(data)
    if not expected:
        with pytest.raises(SettingsError, match="has no rows"):
            plan_manifest(str(path), size, labelled=False)
        return
    # of rows that are all unusable no job is made, so one that is usable comes first
    data = USABLE + data.removeprefix(BOM)
    path.write_bytes(data)
    expected = plain_rows(data)

    plan = plan_manifest(str(path), size, labelled=False)

    assert planned_rows(data, plan) == [(i, n, text) for i, (n, text) in enumerate(expected)]
    assert [s.number for s in plan] == list(range(len(plan)))
    assert all(s.rows == size for s in list(plan)[:-1]) and 1 <= plan.shard(len(plan) - 1).rows <= size
    assert plan.rows == sum(s.rows for s in plan) == len(expected)
    ends = [0] + [s.offset + s.length for s in plan]
    assert all(s.offset >= end for s, end in zip(plan, ends, strict=False)), "shards overlap"


@pytest.mark.parametrize("data", [b"", BOM, b"\n\n", b" \r\n\t\n"])
def test_a_file_without_a_row_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    for labelled in (True, False):
        with pytest.raises(SettingsError, match=r"rows\.jsonl has no rows"):
            plan_manifest(str(path), 4, labelled=labelled)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        plan_manifest(str(tmp_path / "no.jsonl"), 4, labelled=False)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff{}", "not UTF-8"),
        (b"[1, 2]", "not an object but a list"),
        (b"[" * 100_000, "not usable JSON|not JSON"),
        (json.dumps(GOOD | {"label": None}).encode(), "'label' is missing"),
        (json.dumps(GOOD | {"label": 3}).encode(), "'label' must be text, not a number"),
        (json.dumps(GOOD | {"label": " "}).encode(), "'label' is empty"),
        (json.dumps({"image": "a.png", "label": "cat"}).encode(), "'question' is missing"),
        (json.dumps(GOOD | {"image": {"path": "a"}}).encode(), "'image' must be a path"),
        (json.dumps(GOOD | {"label": "\ud800"}).encode(), "lone surrogate"),
    ],
)
def test_a_labelled_row_that_cannot_be_used_is_named_with_its_line_and_reason(
    tmp_path: Path, bad: bytes, reason: str
) -> None:
    # given two rows that are good around a blank line and one that is not
    path = tmp_path / "rows.jsonl"
    good = json.dumps(GOOD).encode()
    path.write_bytes(good + b"\n\n" + bad + b"\n" + good + b"\n")

    with pytest.raises(ManifestError, match=reason) as caught:
        plan_manifest(str(path), 2, labelled=True)

    assert [one.line for one in caught.value.lines] == [3] and caught.value.count == 1
    assert f"{path}:3: " in str(caught.value)
    # without labels the row is left to its shard
    assert plan_manifest(str(path), 2, labelled=False).rows == 3


def test_unusable_lines_are_listed_once_per_cause_and_all_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps(GOOD), "{", json.dumps(GOOD | {"label": 3}), "{ "]
    path.write_text("".join(f"{line}\n" for line in 19 * lines))

    with pytest.raises(ManifestError) as caught:
        plan_manifest(str(path), 8, labelled=True)

    assert [(bad.line, bad.count) for bad in caught.value.lines] == [(2, 38), (3, 19)]
    assert caught.value.count == 57
    first, *listed = str(caught.value).splitlines()
    assert first == f"{path}: 57 unusable lines; correct them and submit again"
    assert listed[0].startswith(f"  {path}:2: not JSON: ")
    assert listed[0].endswith("(also in lines 4, 6, 8 and 34 more)")
    assert (
        listed[1] == f"  {path}:3: 'label' must be text, not a number (also in lines 7, 11, 15 and 15 more)"
    )


def test_of_many_causes_the_first_twenty_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    names = ("id", "label", "question", "image")
    wrong = [GOOD | {name: value} for name in names for value in ([], {}, True, " ", [[]], [{}], [True])]
    path.write_text("".join(json.dumps(row) + "\n" for row in wrong))

    with pytest.raises(ManifestError) as caught:
        plan_manifest(str(path), 8, labelled=True)

    said = str(caught.value)
    assert len(caught.value.lines) <= ManifestError.SHOWN
    counted = sum(bad.count for bad in caught.value.lines)
    assert counted == caught.value.count or f"… and {caught.value.count - counted} more" in said


@pytest.mark.parametrize("labelled", [True, False])
def test_a_file_of_another_format_is_refused_whole_in_a_few_lines(tmp_path: Path, labelled: bool) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("image,label\n" + "".join(f"{i}.png,cat\n" for i in range(500)))

    with pytest.raises(ManifestError) as caught:
        plan_manifest(str(path), 8, labelled=labelled)

    said = str(caught.value).splitlines()
    assert said[0] == (
        f"{path}: none of its 501 lines can be used; a manifest has a JSON object per line, or is one JSON "
        "list of objects"
    )
    assert len(said) <= 4


def test_labels_that_are_all_different_are_no_classes(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(GOOD | {"label": f"item-{i}"}) + "\n" for i in range(7)))

    with pytest.raises(SettingsError, match="each of the 7 rows has a label of its own"):
        plan_manifest(str(path), 8, labelled=True)


def test_a_row_longer_than_the_limit_costs_itself_alone(tmp_path: Path) -> None:
    # given a line that is too long to be read, between two that are good
    path = tmp_path / "rows.jsonl"
    good = json.dumps(GOOD).encode() + b"\n"
    path.write_bytes(good + b'{"label": "' + b"x" * (5 * 2**20) + b'"}\n' + good)

    plan = plan_manifest(str(path), 1, labelled=False)

    assert [s.first_index for s in plan] == [0, 1, 2]
    assert [s.length for s in plan] == [len(good), 5 * 2**20 + 14, len(good)]
    with pytest.raises(ManifestError, match="at most 4194304 are read"):
        plan_manifest(str(path), 1, labelled=True)

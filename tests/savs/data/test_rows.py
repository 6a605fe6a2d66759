import json
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.data import rows
from savs.data.rows import BOM, MAX_LINE_BYTES, is_list, read_rows
from savs.errors import BadRow

VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def read(data: bytes) -> list[rows.Line]:
    return list(read_rows(BytesIO(data), is_list(data)))


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.dictionaries(st.text(), VALUE, max_size=3), min_size=1, max_size=6),
    indent=st.none() | st.integers(0, 2),
    bom=st.booleans(),
    ascii=st.booleans(),
    block=st.sampled_from([1, 2, 3, 7, 64, 2**16]),
)
def test_a_list_has_the_rows_that_json_finds_in_it_whatever_the_blocks(
    values: list[object], indent: int | None, bom: bool, ascii: bool, block: int
) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii)
    data = (BOM if bom else b"") + text.encode("utf-8", "surrogatepass") + b"\n"
    before, rows.BLOCK_BYTES = rows.BLOCK_BYTES, block
    try:
        found = read(data)
        # and any run of them, read by its offset and length as a shard does, has the same rows
        first = len(found) // 2
        span = data[found[first].offset : found[-1].offset + found[-1].length]
        rest = list(read_rows(BytesIO(span), True, first, found[first].number, inside=True))
    finally:
        rows.BLOCK_BYTES = before
    assert [json.loads(row.data.decode("utf-8", "surrogatepass")) for row in found] == values
    assert [row.index for row in found] == list(range(len(values)))
    assert all(data[row.offset : row.offset + row.length] == row.data for row in found)
    assert all(row.number == data[: row.offset].count(b"\n") + 1 for row in found)
    assert [(r.index, r.number, r.data) for r in rest] == [(r.index, r.number, r.data) for r in found[first:]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'[{"a": 1}, {"a": 2}', "the list has no end"),
        (b'[{"a": 1}, {"a": ', "the list has no end"),
        (b'[{"a": "]', "the list has no end"),
        (b'[{"a": 1},, {"a": 2}]', "the list has a comma without a row before it"),
        (b'[,{"a": 2}]', "the list has a comma without a row before it"),
        (b'[{"a": 1}] [{"a": 2}]', "there is text after the end"),
    ],
)
def test_a_list_that_is_none_is_an_error_and_no_shorter_list(data: bytes, reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        read(data)


def test_an_empty_list_has_no_rows() -> None:
    assert read(b" [ ] \n") == []


def test_a_file_is_told_apart_by_its_first_byte_that_is_not_blank() -> None:
    assert is_list(b"[") and is_list(BOM + b"\r\n [{") and not is_list(b'{"a": [1]}\n') and not is_list(b"")


def test_a_row_of_a_list_over_the_limit_comes_cut_short_with_its_true_length() -> None:
    long = b'{"a": "' + b"x" * (3 * MAX_LINE_BYTES) + b'"}'
    first, second = read(b"[" + long + b",\n" + b'{"a": 1}]')
    assert first.length == len(long) and len(first.data) == MAX_LINE_BYTES + 1
    assert (second.index, second.number, second.data) == (1, 2, b'{"a": 1}')

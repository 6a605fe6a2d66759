"""CSV and TSV as people and spreadsheets write them: a bad row costs a row, and no row is lost unsaid."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.data.readers import delimited
from savs.data.rows import MAX_LINE_BYTES
from savs.errors import DatasetError, SavsError
from tests.savs.data.readers.reading import read, reader_of, reasons, written

PLAIN = b"image,label\na.jpg,cat\nb.jpg,dog\n"


def values(path: Path) -> list[tuple[str, str | None]]:
    return [(Path(row["image"][0]).name, row.get("label")) for row in read(path)]


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        b"\n\r\n" + PLAIN + b"\n\n",
        b"image,label\ra.jpg,cat\nb.jpg,dog\r\n",
        b'\xef\xbb\xbf"image";"label"\r\n"a.jpg";cat\r\nb.jpg;"dog"',
        b" image , label\na.jpg, cat\nb.jpg ,dog \n",
        PLAIN.replace(b",", b"\t"),
        PLAIN.decode().encode("utf-16"),
        PLAIN.replace(b"\n", b",,\n"),
        gzip.compress(b"im") + gzip.compress(b"") + gzip.compress(PLAIN[2:]),
    ],
    ids=["plain", "blank lines", "line ends", "spreadsheet", "spaces", "tabs", "utf-16", "nameless", "gzip"],
)
def test_the_same_rows_are_found_however_they_are_written(tmp_path: Path, content: bytes) -> None:
    assert values(written(tmp_path, content)) == [("a.jpg", "cat"), ("b.jpg", "dog")]


def test_names_may_be_longer_than_what_is_looked_at_first(tmp_path: Path) -> None:
    many = [f"column{number:05d}" for number in range(2000)]
    content = ",".join(["image", *many, "label"]) + "\na.jpg," + "1," * 2000 + "cat\n"

    [row] = read(written(tmp_path, content.encode()))

    assert row["label"] == "cat" and len(row["extra"]) == 2000


def test_columns_without_a_name_are_left_out_and_told(tmp_path: Path) -> None:
    reader = reader_of(written(tmp_path, b",image,\n0,a.jpg,\n"))

    assert [*reader.rows()] == [{"image": [f"{tmp_path}/a.jpg"]}]
    assert "left out: a column without a name" in reader.found()


def test_a_quote_that_closes_late_costs_a_row_that_names_all_its_lines(tmp_path: Path) -> None:
    content = b'image,label\na.jpg,"cat\nb.jpg,dog\nc.jpg,"cat"\nd.jpg,dog\n'

    [bad, good] = read(written(tmp_path, content))

    assert "rows:2: " in bad["$unusable"] and "the lines up to 4" in bad["$unusable"]
    assert good["label"] == "dog"


def test_a_quote_that_never_closes_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, b'image,label\na.jpg,"cat\n' + b"b.jpg,dog\n" * 100)

    with pytest.raises(DatasetError, match=r"rows:2: a quote opens here and does not close"):
        read(path)


def test_a_quote_that_takes_more_than_a_row_may_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "MAX_LINE_BYTES", 50)
    path = written(tmp_path, b'image,label\na.jpg,"cat\n' + b"b.jpg,dog\n" * 20 + b'c.jpg,"x"\n')

    with pytest.raises(DatasetError, match="a quote opens here"):
        read(path)


def test_a_line_that_is_too_long_costs_a_row(tmp_path: Path) -> None:
    content = b"image,label\na.jpg," + b"x" * (MAX_LINE_BYTES + 10) + b"\nb.jpg,dog\n"

    [bad, good] = read(written(tmp_path, content))

    assert "the line has more than" in bad["$unusable"] and good["label"] == "dog"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a.jpg", "rows:3: 1 fields, and the first line names 2"),
        (b"a.jpg,cat,more", "rows:3: 3 fields"),
        (b"a.jpg,caf\xe9", "rows:3: not utf-8: caf"),
        (b",cat", "rows:3: 'image' is empty"),
    ],
)
def test_a_bad_line_costs_one_row(tmp_path: Path, line: bytes, reason: str) -> None:
    # The first row is longer than what is looked at to find the encoding.
    content = b"image,label\n" + b"x" * 5000 + b".jpg,cat\n" + line + b"\nb.jpg,dog\n"

    found = reasons(read(written(tmp_path, content)))

    assert found[0] is found[2] is None and reason in str(found[1])


def test_half_of_a_letter_in_utf_16_costs_one_row(tmp_path: Path) -> None:
    content = PLAIN.decode().encode("utf-16") + b"\x00\xd8" + "c.jpg,x\nd.jpg,y\n".encode("utf-16-le")

    assert [reason is None for reason in reasons(read(written(tmp_path, content)))] == [
        *(True, True, False, True)
    ]


def test_a_file_of_a_western_spreadsheet_is_read_as_such(tmp_path: Path) -> None:
    reader = reader_of(written(tmp_path, b"image;label\na.jpg;caf\xe9\n"))

    assert [row["label"] for row in reader.rows()] == ["café"] and "cp1252" in reader.found()


@settings(max_examples=200, deadline=None)
@given(
    cut=st.integers(0, 60),
    put=st.binary(max_size=6) | st.sampled_from([b'"', b"\0", b"\r", b'""\n"', b"\xff\xfe", b"\xed\xa0\x80"]),
    form=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gzip"]),
)
def test_damaged_bytes_give_rows_or_an_error_of_savs(
    tmp_path_factory: pytest.TempPathFactory, cut: int, put: bytes, form: str
) -> None:
    data = (PLAIN * 2).decode().encode("utf-8" if form == "gzip" else form)
    data = gzip.compress(data) if form == "gzip" else data
    path = written(tmp_path_factory.getbasetemp(), data[:cut] + put + data[cut + 1 :])
    try:
        read(path, kind=None if form == "gzip" else "csv")
    except SavsError as error:
        assert str(path) in str(error)

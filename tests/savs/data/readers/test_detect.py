"""What a dataset is follows from its content."""

import gzip
from pathlib import Path

import pytest

from savs.data.readers.detect import kind_of, open_reader
from savs.data.readers.patterns import expand
from savs.data.readers.reader import Given
from savs.errors import DatasetError, NotFound, SavsError, SettingsError
from tests.savs.data.readers.reading import read, reader_of, written


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"PAR1", "parquet"),
        (b"ARROW1", "arrow"),
        (b"\xff\xff\xff\xff", "arrow"),
        (bytes(257) + b"ustar", "webdataset"),
        (b'\xef\xbb\xbf  {"image"', "jsonl"),
        (b"[", "jsonl"),
        (b"", "jsonl"),
        (b"image,label\n", "csv"),
        (b"\xff\xfei\0", "csv"),
        (b"i\0m\0", None),
        (b"PK\x03\x04", None),
        (b"%PDF-1.7\n\x00", None),
    ],
)
def test_the_first_bytes_show_the_kind(head: bytes, kind: str | None) -> None:
    assert kind_of(head) == kind


def test_braces_count_with_leading_zeros_and_globs_are_sorted(tmp_path: Path) -> None:
    for name in ("a-1.csv", "b-1.csv", "a-2.csv"):
        (tmp_path / name).write_bytes(b"")

    assert expand("/x/s-{08..10}.tar") == ["/x/s-08.tar", "/x/s-09.tar", "/x/s-10.tar"]
    assert expand(f"{tmp_path}/{{a,b}}-?.csv") == [f"{tmp_path}/{n}.csv" for n in ("a-1", "a-2", "b-1")]


@pytest.mark.parametrize("braces", ["{5..3}", "{0..99999999}", "{0..999999999999}"])
def test_braces_that_stand_for_no_list_of_files_are_refused(braces: str) -> None:
    with pytest.raises(SettingsError, match="must count up"):
        open_reader(f"/x/{braces}.tar", Given())


def test_a_glob_that_matches_nothing_says_where(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=f"matches none of the 0 files in {tmp_path}"):
        open_reader(f"{tmp_path}/*.parquet", Given())


def test_a_glob_may_match_one_file_of_any_kind(tmp_path: Path) -> None:
    written(tmp_path, b"image\na.jpg\n")

    assert reader_of(f"{tmp_path}/r*").kind == "CSV"


def test_a_file_that_is_called_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "what?{1,2}").write_bytes(b"image\na.jpg\n")
    (tmp_path / "whatX1").write_bytes(b"")

    assert len(read(tmp_path / "what?{1,2}")) == 1


def test_several_csv_files_are_not_read_together(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(b"image\na.jpg\n")

    with pytest.raises(SettingsError, match="several files are read together only if"):
        open_reader(f"{tmp_path}/?", Given())


@pytest.mark.parametrize("head", [b"\x1f\x8b\x08\x00garbage", b"\x28\xb5\x2f\xfdgarbage"])
def test_what_cannot_be_unpacked_is_refused(tmp_path: Path, head: bytes) -> None:
    with pytest.raises(DatasetError, match="rows: it cannot be unpacked"):
        open_reader(str(written(tmp_path, head)), Given())


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n", b"i\0m\0a\0", b"\x1f\x8b", b"PAR1", b"ARROW1"])
@pytest.mark.parametrize("kind", [None, "csv", "parquet", "jsonl", "huggingface", "folder"])
def test_a_kind_that_a_file_is_not_is_an_error_of_savs(
    tmp_path: Path, content: bytes, kind: str | None
) -> None:
    path = written(tmp_path, content)
    try:
        read(path, kind=kind, columns={"image": "a"})
    except SavsError as error:
        assert str(path) in str(error)


def test_a_packed_file_may_begin_with_a_small_part(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(b"1") + gzip.compress(b",image\n2,a.jpg\n"))

    assert read(path) == [{"image": [f"{tmp_path}/a.jpg"], "extra": {"1": "2"}}]

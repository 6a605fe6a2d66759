"""Headers of tars, compared with Python's own `tarfile`."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.data.containers.tar_headers import FILE, MAX_EXTENDED_BYTES, Entry, TarDamage, is_header, read_entry
from tests.savs.data.tars import tar_bytes

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
LONG = "a/" * 60 + "b" * 140 + ".jpg"


def entries(data: bytes) -> list[Entry]:
    found, offset = [], 0
    while (entry := read_entry(lambda at, length: data[at : at + length], offset)) is not None:
        found.append(entry)
        offset = entry.end
    return found


def oracle(data: bytes) -> list[tuple[bytes, int, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [
            (info.name.encode("utf-8", "surrogateescape"), info.offset, info.offset_data, info.size)
            for info in tar
            if info.isreg() and not info.issparse()
        ]


def files(data: bytes) -> list[tuple[bytes, int, int, int]]:
    return [(e.name, e.header, e.data, e.size) for e in entries(data) if e.kind == FILE]


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300).filter(
    lambda name: not name.endswith("/")
)


@settings(deadline=None)
@given(st.lists(st.tuples(names, st.binary(max_size=1500)), max_size=5), st.sampled_from(FORMATS[1:]))
def test_members_are_those_that_tarfile_finds(members: list[tuple[str, bytes]], format: int) -> None:
    data = tar_bytes(members, format)

    assert files(data) == oracle(data)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", ["a.jpg", "d/" * 60 + "a.jpg", "é/ü.jpg"])
def test_names_are_whole_in_each_format(format: int, name: str) -> None:
    data = tar_bytes({name: b"x" * 600, "b.jpg": b""}, format)

    assert files(data) == oracle(data)
    assert files(data)[0][0] == name.encode()


@pytest.mark.parametrize("how", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_what_the_tar_program_writes_is_read_with_its_links_folders_and_pipes_left_out(
    tmp_path: Path, how: str
) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.jpg").write_bytes(b"picture" * 300)
    (folder / "b.jpg").write_bytes(b"")
    (folder / "link.jpg").symlink_to("b.jpg")
    (folder / "hard.jpg").hardlink_to(folder / "sub" / "a.jpg")
    if how not in ("v7", "ustar"):
        (folder / f"{'long' * 30}.jpg").write_bytes(b"12345")
    subprocess.run(
        ["tar", f"--format={how}", "-cf", tmp_path / "a.tar", "-C", folder, "."], check=True, timeout=60
    )
    data = (tmp_path / "a.tar").read_bytes()

    assert files(data) == oracle(data)
    assert {entry.kind for entry in entries(data)} == {FILE, "folders", "links"}


@pytest.mark.parametrize(
    "how", ["gnu", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"]
)
def test_sparse_files_are_left_out_and_what_follows_is_found(tmp_path: Path, how: str) -> None:
    with (tmp_path / "1.bin").open("wb") as file:
        for place in range(0, 40 * 2**16, 2**16):  # more parts than fit into one header
            file.seek(place)
            file.write(b"data")
        file.truncate(2**23)
    (tmp_path / "2.jpg").write_bytes(b"picture")
    options = ["--format=gnu"] if how == "gnu" else ["--format=posix", how]
    subprocess.run(
        ["tar", "--sparse", *options, "-cf", tmp_path / "a.tar", "-C", tmp_path, "1.bin", "2.jpg"],
        check=True,
        timeout=60,
    )
    data = (tmp_path / "a.tar").read_bytes()

    assert [entry.kind for entry in entries(data)] == ["sparse files", FILE]
    assert files(data) == oracle(data)


def header(name: bytes, size: bytes, mark: bytes = b"0") -> bytes:
    """A header without the mark of ustar, as the seventh edition of Unix wrote it."""
    block = bytearray(name.ljust(124, b"\0") + size.ljust(24, b"\0") + b" " * 8 + mark).ljust(512, b"\0")
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def test_sizes_in_base_256_are_read() -> None:
    size = b"\x80" + (2**40).to_bytes(11, "big")

    assert entries_of(header(b"a.jpg", size)).size == 2**40


def entries_of(block: bytes) -> Entry:
    entry = read_entry(lambda at, length: block[at : at + length], 0)
    assert entry is not None
    return entry


def test_a_sum_of_signed_bytes_is_taken_too() -> None:
    block = bytearray(header(b"\xff\xfe.jpg", b"0"))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % (sum(block) - 512)

    assert entries_of(bytes(block)).name == b"\xff\xfe.jpg"


def test_times_in_gnus_own_headers_are_no_part_of_the_name() -> None:
    block = bytearray(header(b"a.jpg", b"0"))
    block[257:265], block[345:357] = b"ustar  \0", b"14707112017\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)

    assert entries_of(bytes(block)).name == b"a.jpg"


@pytest.mark.parametrize(
    ("tar", "at"),
    [
        (b"x" * 512, 0),
        (header(b"a.jpg", b"zz"), 0),
        (header(b"a.jpg", b"\xff" * 12), 0),
        (header(b"a", b"0") + header(b"b", b"0")[:200], 512),
        (header(b"a", b"0") + b"\1" + header(b"b", b"0")[1:], 512),
        (header(b"l", b"%o" % (MAX_EXTENDED_BYTES + 1), b"L") + bytes(2**21), 0),
        (header(b"l", b"77777", b"L") + b"short", 0),
        (header(b"x", b"4", b"x") + b"zzzz".ljust(512, b"\0"), 0),
        (header(b"x", b"12", b"x") + b"12 size=1e9\n".ljust(512, b"\0"), 0),
        (header(b"x", b"0", b"x"), 512),
    ],
)
def test_damage_is_named_with_its_byte(tar: bytes, at: int) -> None:
    with pytest.raises(TarDamage) as error:
        entries(tar)

    assert error.value.at == at


def test_one_wrong_bit_in_a_header_is_noticed() -> None:
    block = header(b"a.jpg", b"123")

    assert is_header(block)
    for at in range(0, 4096, 7):
        wrong = bytearray(block)
        wrong[at // 8] ^= 1 << at % 8
        if not 148 <= at // 8 < 156:  # some bits of the checksum's own field do not count
            assert not is_header(bytes(wrong))

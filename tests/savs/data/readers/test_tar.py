"""Tars as WebDataset has them become rows."""

import gzip
import json
import random
import tarfile
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from savs.data.formats import CELLS, UNUSABLE
from savs.data.readers.detect import expand, open_reader
from savs.data.readers.reader import Given
from savs.data.readers.tars.repeated_keys import RepeatedKeys
from savs.data.readers.tars.side_by_side import NAME, side_by_side
from savs.data.readers.tars.tar import TarReader
from savs.data.readers.tars.tar_index import MAX_TEXT_BYTES
from savs.errors import DatasetError, NotFound, SettingsError
from savs.storage import open_store
from tests.faulty_s3 import FaultyS3
from tests.jobs.conftest import wait_until
from tests.savs.data.tars import tar_bytes, write_tar

JPG = b"\xff\xd8picture"


def rows_of(path: Path | str, **said: Any) -> list[dict[str, Any]]:
    return [*reader_of(path, **said).rows()]


def reader_of(path: Path | str, **said: Any) -> TarReader:
    reader = open_reader(str(path), Given(**said))
    assert isinstance(reader, TarReader)
    return reader


def found_after(reader: TarReader) -> str:
    assert [*reader.rows()]
    return reader.found()


def test_members_with_one_key_are_one_item_whose_media_have_their_places(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar",
        {"0.right.png": JPG, "0.left.png": JPG, "0.json": b'{"label": "cat", "source": "web"}', "1.mp4": JPG},
    )

    rows = rows_of(path)

    with tarfile.open(path) as tar:
        places = {info.name: [len(str(path)), info.offset, info.size] for info in tar}
    assert rows == [
        {
            "image": [f"{path}#0.left.png", f"{path}#0.right.png"],
            CELLS: [places["0.left.png"], places["0.right.png"]],
            "id": "0",
            "label": "cat",
            "extra": {"source": "web"},
        },
        {"image": [f"{path}#1.mp4"], CELLS: [places["1.mp4"]], "id": "1"},
    ]


def test_a_key_has_its_folder_and_ends_at_the_first_dot(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"./x.y/0.1.jpg": JPG, "x.y/0.cls": b"3", "0.jpg": JPG})

    assert [(row["id"], row.get("label")) for row in rows_of(path)] == [("x.y/0", "3"), ("0", None)]


def test_texts_are_labels_questions_and_other_columns(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar",
        {
            **{"0.jpg": JPG, "0.cls": b"1\n", "0.txt": "été\n".encode()},
            **{"1.jpg": JPG, "1.label": b"dog", "1.question": b"What?", "1.meta.json": b"[1]"},
        },
    )
    plain = rows_of(path)
    chosen = rows_of(path, columns={"question": "txt"}, class_names=("cat", "dog"))

    assert [(row["label"], row.get("question"), row.get("extra")) for row in plain] == [
        ("1", None, {"txt": "été"}),
        ("dog", "What?", {"meta.json": [1]}),
    ]
    assert [(row["label"], row.get("question")) for row in chosen] == [("dog", "été"), ("dog", None)]
    assert chosen[0].get("extra") is None


def test_columns_choose_among_media_and_fields_of_json(tmp_path: Path) -> None:
    text = json.dumps({"species": "lynx", "class": "mammal", "uid": 7}).encode()
    path = write_tar(tmp_path / "a.tar", {"0.jpg": JPG, "0.seg.png": JPG, "0.json": text})

    [row] = rows_of(path, columns={"image": "jpg", "label": "species", "id": "uid"})

    assert (row["image"], row["label"], row["id"]) == ([f"{path}#0.jpg"], "lynx", "7")
    assert row["extra"] == {"class": "mammal"}
    with pytest.raises(SettingsError, match=r"--columns: no item of .* has 'breed'"):
        rows_of(path, columns={"label": "breed"})
    with pytest.raises(SettingsError, match="'colour' is not a field"):
        rows_of(path, columns={"colour": "breed"})


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"0.txt": b"a", "0.npy": b"b"}, "no image or video among txt, npy"),
        ({"0.jpg": b""}, "jpg is empty"),
        ({"0.jpg": JPG, "0.json": b"{"}, "json is not JSON"),
        ({"0.jpg": JPG, "0.json": b"[]"}, "json is not an object but list"),
        ({"0.jpg": JPG, "0.json": b'{"label": {}}'}, "must be a label, not dict"),
        ({"0.jpg": JPG, "0.json": b'{"label": 1' + b"0" * 5000 + b"}"}, ""),
        ({"0.jpg": JPG, "0.txt": b"\xff"}, "txt is not UTF-8"),
        ({"0.jpg": JPG, "0.txt": bytes(MAX_TEXT_BYTES + 1)}, "at most 1,024 texts and 4,194,304 bytes"),
        ({"0.jpg": JPG, "0.txt": bytes(2**22), "0.json": b"{}"}, "its 2 texts have 4,194,306 bytes"),
    ],
)
def test_an_item_that_cannot_be_used_is_one_row_that_says_why(
    tmp_path: Path, members: dict[str, bytes], reason: str
) -> None:
    path = write_tar(tmp_path / "a.tar", [*members.items(), ("1.jpg", JPG)])

    [bad, good] = rows_of(path)

    assert bad[UNUSABLE].startswith(f"{path}#0: ")
    assert reason in bad[UNUSABLE]
    assert good["id"] == "1"


def test_odd_names_are_only_names(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar", {"/etc/p.jpg": JPG, "../../up.jpg": JPG, "a#b\n.jpg": JPG, "x\udcff.jpg": JPG}
    )

    rows = rows_of(path)

    assert [row.get("id") for row in rows] == ["/etc/p", "../../up", "a#b\n", None]
    assert rows[0]["image"] == [f"{path}#/etc/p.jpg"]
    assert rows[3][UNUSABLE] == rf"{path}#x\xff: its name is not UTF-8; rename it"
    assert not (tmp_path.parent.parent / "up.jpg").exists()


def test_what_is_left_out_and_what_repeats_is_told(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in "ab":
        path = write_tar(tmp_path / "d" / f"{name}.tar", {"0.jpg": JPG, "0.npy": b"1", "README": b""})
        with tarfile.open(path, "a") as tar:
            tar.addfile(tarfile.TarInfo("again/0.jpg"))
            link = tarfile.TarInfo("l.jpg")
            link.type = tarfile.SYMTYPE
            tar.addfile(link)
    write_tar(tmp_path / "d" / "c.tar", [("5.jpg", JPG), ("5.jpg", JPG)])

    said = found_after(reader_of(tmp_path / "d"))

    assert said == (
        "3 tars; 2 links left out; 2 members that are no media or texts left out; 2 members without an "
        "extension left out; 3 items have the key of an earlier one ('0', 'again/0', '5')"
    )


def test_repeated_keys_are_found_among_recent_and_earlier_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("savs.data.readers.tars.repeated_keys.RECENT", 10)
    keys = [str(number) for number in random.Random(1).choices(range(300), k=500)]
    repeated = RepeatedKeys()

    for key in keys:
        repeated.add(key)
    repeated.finish()

    assert repeated.count == 500 - len(set(keys))
    assert set(repeated.first) <= {key for key in keys if keys.count(key) > 1}


def test_a_label_file_has_new_labels_over_old_ones(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar", {f"{i}.{e}": d for i in range(4) for e, d in (("jpg", JPG), ("cls", b"old"))}
    )
    csv = tmp_path / "new.csv"
    csv.write_text("__key__,class,note\n0,new,seen\n1,,\n7,new,\n8,new,\n")
    lines = tmp_path / "new.jsonl"
    lines.write_text('{"key": 0, "class": "new", "note": "seen"}\nno json\n{"key": "0", "class": "newest"}\n')
    packed = tmp_path / "new.csv.gz"
    packed.write_bytes(gzip.compress(csv.read_bytes()))

    for labels in (csv, packed):
        reader = reader_of(path, sidecar=str(labels))
        rows = [*reader.rows()]
        assert [row["label"] for row in rows] == ["new", "old", "old", "old"]
        assert rows[0]["extra"] == {"cls": "old", "note": "seen"}
        assert f"2 of 4 keys in {labels} are those of items; 2 are not ('7', '8')" in reader.found()

    reader = reader_of(path, sidecar=str(lines))
    assert [row["label"] for row in reader.rows()] == ["newest", "old", "old", "old"]
    assert "1 are there twice, and the last row counts ('0'); 1 of its rows cannot be used (line 2" in (
        reader.found()
    )


def test_a_label_file_without_keys_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"0.jpg": JPG})
    (tmp_path / "new.csv").write_text("name,label\n0,new\n")

    with pytest.raises(SettingsError, match="no column '__key__'; it has 'name', 'label'"):
        reader_of(path, sidecar=str(tmp_path / "new.csv"))
    with pytest.raises(NotFound, match=r"none\.csv"):
        reader_of(path, sidecar=str(tmp_path / "none.csv"))
    with pytest.raises(SettingsError, match=r"--label-file: .*a\.tar has zero bytes"):
        reader_of(path, sidecar=str(path))


@given(
    st.lists(st.sampled_from([*"{[\"':,]}\n\t01k", '"key"', "\xff", "\0", '{"key": "0", "label": "x"}\n']))
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_label_file_is_read_or_refused(tmp_path: Path, parts: list[str]) -> None:
    path = write_tar(tmp_path / "a.tar", {"0.jpg": JPG})
    for begin in ("", "key,label\n", '{"key": 1' + "0" * 5000 + "}\n"):
        (tmp_path / "labels").write_bytes((begin + "".join(parts)).encode("latin-1"))
        try:
            reader = reader_of(path, sidecar=str(tmp_path / "labels"))
        except (SettingsError, DatasetError):
            continue
        assert len([*reader.rows()]) == 1
        assert reader.found()


def test_a_label_file_on_s3_is_read(bucket: str) -> None:
    store = open_store("s3://corpus/x")
    store.write("a.tar", tar_bytes({"0.jpg": JPG, "1.jpg": JPG}))
    store.write("new.csv", b"key;label\n1;cat\n")

    rows = rows_of("s3://corpus/x/a.tar", sidecar="s3://corpus/x/new.csv")

    assert [row.get("label") for row in rows] == [None, "cat"]


def test_the_identity_is_that_of_all_tars_and_of_the_label_file(tmp_path: Path) -> None:
    first = write_tar(tmp_path / "d" / "a.tar", {"0.jpg": JPG})
    labels = tmp_path / "new.csv"
    labels.write_text("key,label\n0,x\n")
    seen = set()

    def identity() -> str:
        return reader_of(tmp_path / "d", sidecar=str(labels)).identity()

    seen.add(identity())
    assert identity() in seen
    labels.write_text("key,label\n0,y\n")
    seen.add(identity())
    write_tar(tmp_path / "d" / "b.tar", {"1.jpg": JPG})
    seen.add(identity())
    write_tar(first, {"0.jpg": JPG * 999})
    seen.add(identity())
    assert len(seen) == 4


def test_several_tars_are_read_in_order_by_folder_glob_and_braces(tmp_path: Path) -> None:
    for number in range(12):
        write_tar(tmp_path / f"s-{number:02d}.tar", {f"{number}.jpg": JPG})
    (tmp_path / "other.txt").write_text("no tar")

    def ids(address: str) -> list[int]:
        return [int(row["id"]) for row in rows_of(f"{tmp_path}{address}")]

    assert ids("") == ids("/") == ids("/*.tar") == ids("/s-{00..11}.tar") == [*range(12)]
    assert ids("/s-{03,00}.tar") == [3, 0]
    assert ids("/s-0?.tar") == [*range(10)]
    assert ids("/s-{0,1}1.tar") == [1, 11]
    with pytest.raises(NotFound, match=r"s-12\.tar"):
        ids("/s-{00..12}.tar")
    with pytest.raises(NotFound, match="matches none of the 13 files"):
        ids("/z*.tar")
    for wrong in ("{5..1}", "{0..99999999}", "{0..9999}{0..999}"):
        with pytest.raises(SettingsError, match=r"must count up|more than 100,000"):
            expand(f"{tmp_path}/{wrong}.tar")


def test_a_tar_is_known_by_its_content_also_without_a_mark_or_members(tmp_path: Path) -> None:
    from tests.savs.data.containers.test_tar_headers import header

    old = tmp_path / "old"
    old.write_bytes(header(b"0.jpg", b"3") + b"abc".ljust(512, b"\0") + bytes(1024))
    write_tar(tmp_path / "d" / "a.tar", {})
    write_tar(tmp_path / "d" / "b.tar", {"0.jpg": JPG})

    assert [row["id"] for row in rows_of(old)] == ["0"]
    assert [row["id"] for row in rows_of(tmp_path / "d")] == ["0"]
    with pytest.raises(SettingsError, match=" are csv and webdataset; several files"):
        (tmp_path / "d" / "c.tar").write_text("a,b\n1,2\n")
        rows_of(tmp_path / "d")


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar", "d/a.tar.gz", "d/*.tgz"])
def test_a_compressed_tar_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name.replace("*", "a")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(tar_bytes({"0.jpg": JPG})))
    whole = tmp_path / "d" if name == "d/a.tar.gz" else tmp_path / name

    with pytest.raises(DatasetError, match=r"is compressed, .*; unpack it to a \.tar: gunzip FILE"):
        rows_of(whole)


def test_a_truncated_tar_is_named_with_the_byte(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"0.jpg": JPG, "1.jpg": JPG * 1000}, tarfile.USTAR_FORMAT)
    whole = path.read_bytes()

    for size, at in ((1024 + 512 + 100, 1024), (1024 + 100, 1024)):
        path.write_bytes(whole[:size])
        with pytest.raises(DatasetError, match=rf"a\.tar is damaged at byte {at} of {size}: "):
            rows_of(path)


def test_a_tar_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {f"{i}.jpg": JPG for i in range(5)})
    rows = reader_of(path).rows()
    next(rows)
    write_tar(path, {f"{i}.jpg": JPG * 500 for i in range(5)})

    with pytest.raises(DatasetError, match="has changed while it was read"):
        list(rows)


@given(st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_hostile_tars_are_rows_or_an_error(tmp_path: Path, data: st.DataObject) -> None:
    members = {"0.jpg": JPG, "0.json": b'{"label": 1}', "d" * 150 + "/1.jpg": JPG * 99, "é.cls": b"2"}
    tar = bytearray(tar_bytes(members, data.draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))))
    for _ in range(data.draw(st.integers(1, 8))):
        block = data.draw(st.integers(0, len(tar) // 512 - 1)) * 512
        at = data.draw(st.sampled_from([0, 1, 100, 124, 125, 130, 156, 257, 345, 482, 504, 511]))
        new = data.draw(st.sampled_from([b"\x80", b"\xff" * 12, b"7" * 11, b"x", b"L", b"S", b"\0"]))
        tar[block + at : block + at + len(new)] = new
        if data.draw(st.booleans()):  # with a checksum that is right again
            tar[block + 148 : block + 156] = b" " * 8
            tar[block + 148 : block + 156] = b"%06o\0 " % sum(tar[block : block + 512])
    tar = tar[: data.draw(st.integers(1, len(tar)))]
    (tmp_path / "a.tar").write_bytes(tar)

    tracemalloc.start()
    try:
        for row in TarReader([str(tmp_path / "a.tar")], Given()).rows():
            assert UNUSABLE in row or row["image"]
            json.dumps(row).encode()
    except DatasetError as error:
        assert "a.tar" in str(error)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


def test_an_item_with_very_many_members_holds_little_memory(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [(f"0.{i}.txt", b"x" * 400) for i in range(20_000)])

    tracemalloc.start()
    [row] = rows_of(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "at most 1,024 texts" in row[UNUSABLE]
    assert peak < 2**22


def test_tars_on_s3_give_the_same_rows_in_few_requests(faulty: FaultyS3, tmp_path: Path) -> None:
    store = open_store("s3://corpus/shards")
    for number in range(20):
        size = 3_000_000 if number == 7 else 3_000
        members = {
            f"{number}-{i}.{extension}": data
            for i in range(4)
            for extension, data in (("jpg", b"x" * size), ("cls", b"%d" % i))
        }
        path = write_tar(tmp_path / f"{number:02d}.tar", members)
        store.write(path.name, path.read_bytes())
    faulty.seen.clear()

    remote = rows_of("s3://corpus/shards/*.tar")

    local = json.loads(json.dumps(rows_of(tmp_path)).replace(str(tmp_path), "s3://corpus/shards"))
    longer = len("s3://corpus/shards") - len(str(tmp_path))
    for row in local:
        row[CELLS][0][0] += longer
    assert remote == local
    reads = [path for method, path, _ in faulty.seen if method == "GET" and path.endswith("07.tar")]
    assert len(reads) <= 1 + 4 + 1  # its kind, then around each large member


def test_a_tar_of_small_members_on_s3_is_read_in_blocks(faulty: FaultyS3) -> None:
    members = {f"{number:03d}.jpg": bytes(20_000) for number in range(500)}
    open_store("s3://corpus/x").write("a.tar", tar_bytes(members))
    faulty.seen.clear()

    assert len(rows_of("s3://corpus/x/a.tar")) == 500

    assert len([path for method, path, _ in faulty.seen if method == "GET"]) <= 8  # of 10 MB


def test_a_damaged_tar_among_others_on_s3_is_an_error_after_the_rows_before_it(bucket: str) -> None:
    store = open_store("s3://corpus/shards")
    for number in range(40):
        store.write(f"{number:02d}.tar", tar_bytes({f"{number}.jpg": JPG}))
    store.write("30.tar", tar_bytes({"30.jpg": JPG * 1000})[:700])
    rows = []

    with pytest.raises(DatasetError, match=r"s3://corpus/shards/30\.tar is damaged at byte 0"):
        rows.extend(rows_of("s3://corpus/shards"))
    for row in reader_of("s3://corpus/shards").rows():
        rows.append(row)
        if len(rows) == 5:
            break
    assert [row["id"] for row in rows] == ["0", "1", "2", "3", "4"]


def test_sources_are_read_side_by_side_and_stop_when_nobody_takes_their_values() -> None:
    begun = []

    def source(number: int) -> Iterator[tuple[int, int]]:
        begun.append(number)
        for value in range(100_000):
            yield number, value

    values = side_by_side([lambda n=n: source(n) for n in range(8)], 3, lambda value: 8)  # type: ignore[misc]
    taken = [next(values) for _ in range(1000)]
    values.close()  # type: ignore[attr-defined]

    assert taken == [(0, value) for value in range(1000)]
    assert sorted(begun) == [0, 1, 2]
    wait_until(lambda: NAME not in {one.name for one in threading.enumerate()}, "the threads have ended")

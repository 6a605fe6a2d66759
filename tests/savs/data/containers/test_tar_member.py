"""Media inside of tars are read from where the index says that they are, or not at all."""

import hashlib
import os
import tarfile
from pathlib import Path

import pytest

from savs.data.confined import ConfinedPath
from savs.data.containers import tar_member
from savs.data.containers.contained import ContainedPath, Member, contained
from savs.data.containers.tar_member import open_member
from savs.data.formats import CELLS
from savs.data.media import hash_media, open_media, open_with_digest
from savs.data.readers.reader import Given
from savs.data.readers.tars.tar import TarReader
from savs.data.video.sampling import FrameSampling, Video
from savs.errors import ForbiddenMedia, MissingMedia, UnreadableMedia
from savs.storage import open_store
from tests.faulty_s3 import FaultyS3, first
from tests.savs.data.drawing import draw, write_clip
from tests.savs.data.tars import tar_bytes, write_tar

LONG = "d/" * 90 + "0.png"
MEMBERS = {"a.png": b"first" * 100, LONG: b"second" * 300, "é.png": b"third", "b.png": b"4"}


def members(address: Path | str) -> list[ContainedPath]:
    found = []
    for row in TarReader([str(address)], Given()).rows():
        found += contained(row["image"], row[CELLS])
    return [one for one in found if isinstance(one, ContainedPath)]


def read(address: ContainedPath) -> bytes:
    with open_member(address) as stream:
        return stream.read()


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("at_once", [2**26, 3])
def test_each_member_is_read_as_it_was_written(
    tmp_path: Path, bucket: str, format: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_member, "AT_ONCE_BYTES", at_once)
    monkeypatch.setattr(tar_member, "PART_BYTES", 256)
    path = write_tar(tmp_path / "a.tar", MEMBERS, format)
    open_store("s3://corpus/x").write("a.tar", path.read_bytes())

    for address in (path, "s3://corpus/x/a.tar"):
        assert [read(member) for member in members(address)] == [*MEMBERS.values()]


def test_a_member_on_s3_takes_one_request(faulty: FaultyS3) -> None:
    open_store("s3://corpus/x").write("a.tar", tar_bytes(MEMBERS))
    found = members("s3://corpus/x/a.tar")
    faulty.seen.clear()

    assert [read(member) for member in found] == [*MEMBERS.values()]

    assert len(faulty.seen) == len(MEMBERS)


@pytest.mark.parametrize(
    "now",
    [
        {"c.png": b"first" * 100, "b.png": b""},
        {"a.png": b"first" * 99},
        {"0.txt": b"0", "a.png": b"first" * 100},
        {},
    ],
)
@pytest.mark.parametrize("at_once", [2**26, 3])
def test_a_tar_that_has_changed_is_not_read_as_if_it_had_not(
    tmp_path: Path, bucket: str, now: dict[str, bytes], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_member, "AT_ONCE_BYTES", at_once)
    path = write_tar(tmp_path / "a.tar", MEMBERS)
    store = open_store("s3://corpus/x")
    store.write("a.tar", path.read_bytes())
    found = [members(path)[0], members("s3://corpus/x/a.tar")[0]]

    write_tar(path, now)
    store.write("a.tar", path.read_bytes())

    for member in found:
        with pytest.raises(MissingMedia, match=r"#a\.png: .*has changed since it was indexed; submit"):
            read(member)


def test_a_tar_that_became_shorter_and_one_that_is_gone_are_told(tmp_path: Path, bucket: str) -> None:
    path = write_tar(tmp_path / "a.tar", MEMBERS)
    whole = path.read_bytes()
    store = open_store("s3://corpus/x")
    store.write("a.tar", whole)
    last = [members(path)[-1], members("s3://corpus/x/a.tar")[-1]]

    for cut in (last[0].place.header + 512, 600):  # type: ignore[union-attr]
        path.write_bytes(whole[:cut])
        store.write("a.tar", whole[:cut])
        for member in last:
            with pytest.raises(MissingMedia, match="has changed"):
                read(member)
    path.unlink()
    store.delete("a.tar")
    for member in last:
        with pytest.raises(MissingMedia, match=r"a\.tar does not exist"):
            read(member)


def test_a_place_that_somebody_made_up_costs_its_row_and_no_memory(tmp_path: Path) -> None:
    path = str(write_tar(tmp_path / "a.tar", MEMBERS))

    for place in ((0, 2**50), (512, 5), (2**62, 10), (0, 2**26 + 1), (2**70, 2**70), (0, 2**25)):
        with pytest.raises(MissingMedia, match="has changed"):
            read(ContainedPath.of(f"{path}#a.png", path, Member(*place)))


def test_a_link_out_of_the_folders_that_may_be_read_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "secret" / "a.tar", MEMBERS)
    (tmp_path / "open").mkdir()
    link = tmp_path / "open" / "a.tar"
    link.symlink_to(path)
    place = members(path)[0].place

    for inside, allowed in (("open", False), ("secret", True)):
        container = ConfinedPath.of(str(link), [str(tmp_path / inside)])
        member = ContainedPath.of(f"{link}#a.png", container, place)
        if allowed:
            assert read(member) == MEMBERS["a.png"]
        else:
            with pytest.raises(ForbiddenMedia):
                read(member)


def test_a_container_that_is_a_pipe_or_a_folder_does_not_make_its_reader_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tar")
    (tmp_path / "b.tar").mkdir()

    for name in ("a.tar", "b.tar"):
        with pytest.raises(UnreadableMedia):
            read(ContainedPath.of(f"{tmp_path / name}#a.png", str(tmp_path / name), Member(0, 1)))


@pytest.mark.parametrize("fault", ["503", "reset before", "reset after", "cut"])
def test_a_request_that_fails_now_and_then_is_made_again(faulty: FaultyS3, fault: str) -> None:
    open_store("s3://corpus/x").write("a.tar", tar_bytes(MEMBERS))
    found = members("s3://corpus/x/a.tar")
    faulty.choose = first(2, fault, "GET", "a.tar")

    assert read(found[1]) == MEMBERS[LONG]


def test_pictures_and_videos_in_tars_are_those_that_were_packed(tmp_path: Path, bucket: str) -> None:
    draw("star", 1).save(tmp_path / "0.png")
    write_clip(tmp_path / "1.mp4", 12, 8)
    packed = {name: (tmp_path / name).read_bytes() for name in ("0.png", "1.mp4")}
    path = write_tar(tmp_path / "a.tar", packed)
    open_store("s3://corpus/x").write("a.tar", path.read_bytes())
    sampling = FrameSampling(frames=3)

    for address in (path, "s3://corpus/x/a.tar"):
        picture, clip = members(address)
        image, digest = open_with_digest(picture, sampling, lambda size: True)
        video = open_media(clip, sampling)
        assert digest.sha256 == hashlib.sha256(packed["0.png"]).hexdigest()
        assert image.tobytes() == draw("star", 1).tobytes()  # type: ignore[union-attr]
        assert isinstance(video, Video)
        alone = open_media(str(tmp_path / "1.mp4"), sampling)
        assert isinstance(alone, Video)
        assert (video.frames == alone.frames).all()
        assert hash_media(clip).sha256 == hashlib.sha256(packed["1.mp4"]).hexdigest()

from pathlib import Path

import pytest

from jobs.shards.allowed_roots import Roots
from savs.data.containers.contained import ContainedPath, Member
from savs.data.media import hash_media
from savs.data.readers.reader import Given
from savs.data.readers.tars.tar import TarReader
from savs.data.samples import Sample
from savs.errors import ForbiddenAddress, ForbiddenMedia
from tests.savs.data.tars import write_tar


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that is allowed, beside one that is not."""
    (tmp_path / "shared" / "pictures").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.png").write_bytes(b"secret")
    return tmp_path / "shared"


def test_what_lies_under_a_root_is_allowed_and_the_root_itself(shared: Path) -> None:
    roots = Roots.of([str(shared)])

    assert roots.allow(str(shared))
    assert roots.allow(f"{shared}/pictures/a.png")


@pytest.mark.parametrize(
    "address",
    [
        "{}/../secret/a.png",
        "{}-too/a.png",
        "/etc/passwd",
        "http://localhost/a.png",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "s3:b/k",
        "s3://b/k",
    ],
)
def test_what_lies_elsewhere_is_not(shared: Path, address: str) -> None:
    assert not Roots.of([str(shared)]).allow(address.format(shared))


def test_a_link_out_of_a_root_is_followed_before_it_is_judged(shared: Path) -> None:
    (shared / "link.png").symlink_to(shared.parent / "secret" / "a.png")
    (shared / "folder").symlink_to(shared.parent / "secret")
    roots = Roots.of([str(shared)])

    assert not roots.allow(f"{shared}/link.png")
    assert not roots.allow(f"{shared}/folder/a.png")


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("s3://bucket/data/a.png", True),
        ("s3://bucket/data", True),
        ("s3://bucket/database/a.png", False),
        ("s3://bucket/data/../secret/a.png", False),
        ("s3://bucket-2/data/a.png", False),
        ("s3://bucket", False),
    ],
)
def test_a_prefix_of_a_bucket_ends_at_a_slash(address: str, allowed: bool) -> None:
    assert Roots.of(["s3://bucket/data/"]).allow(address) is allowed


def test_a_forbidden_picture_costs_its_row_and_a_forbidden_manifest_the_job(shared: Path) -> None:
    roots = Roots.of([str(shared)])

    with pytest.raises(ForbiddenMedia, match="SAVS_ALLOWED_ROOTS"):
        roots.check_media(Sample(0, "0", (f"{shared}/a.png", "/etc/passwd"), "What?"))
    with pytest.raises(ForbiddenAddress, match="/etc/passwd"):
        roots.check_address("/etc/passwd")


WEB = ["http://example.org/a.png", "https://example.org/a.png?sig=1", "HTTPS://EXAMPLE.ORG/a.png"]
ELSEWHERE = [
    "ftp://h/a.png",
    "file:///etc/passwd",
    "file:/etc/passwd",
    "data:image/png;base64,AA",
    "httpx://h/",
]


@pytest.mark.parametrize("address", WEB)
def test_media_of_the_web_are_for_those_who_asked_for_them(shared: Path, address: str) -> None:
    sample = Sample(0, "0", (f"{shared}/a.png", address), "What?")
    for roots in (Roots.of([str(shared)], http=True), Roots.everywhere(http=True)):
        assert roots.allow(address)
        roots.check_media(sample)
    for roots in (Roots.of([str(shared)]), Roots.everywhere(http=False)):
        assert not roots.allow(address)
        with pytest.raises(ForbiddenMedia, match="--allow-http") as error:
            roots.check_media(sample)
        assert "sig=1" not in str(error.value)


@pytest.mark.parametrize("address", WEB)
def test_a_manifest_never_comes_from_the_web(shared: Path, address: str) -> None:
    for roots in (Roots.of([str(shared)], http=True), Roots.everywhere(http=True)):
        with pytest.raises(ForbiddenAddress, match="where only media are read"):
            roots.check_address(address)


@pytest.mark.parametrize("address", ELSEWHERE)
def test_no_other_scheme_is_ever_read(shared: Path, address: str) -> None:
    for roots in (Roots.of([str(shared), "/"], http=True), Roots.everywhere(http=True)):
        assert not roots.allow(address)
        with pytest.raises(ForbiddenMedia, match="not the address of a folder"):
            roots.check_media(Sample(0, "0", (address,), "What?"))
        with pytest.raises(ForbiddenAddress, match="not the address of a folder"):
            roots.check_address(address)


@pytest.mark.parametrize("address", ["/etc/passwd", "s3://bucket/a.png", "C:/a.png", "/data/12:30.png"])
def test_everywhere_is_every_folder_and_every_bucket(address: str) -> None:
    roots = Roots.everywhere(http=False)
    assert roots.allow(address)
    roots.check_address(address)


def test_allowing_the_web_allows_no_folder_and_no_bucket(shared: Path) -> None:
    roots = Roots.of([str(shared)], http=True)
    assert not roots.allow("/etc/passwd")
    assert not roots.allow("s3://bucket/a.png")


def test_a_link_to_itself_and_a_name_with_a_nul_are_answered_like_other_paths(
    shared: Path, tmp_path: Path
) -> None:
    # given links that lead nowhere, inside of what is allowed and outside
    for path in (shared / "loop.png", tmp_path / "secret" / "loop.png"):
        path.symlink_to(path.name)

    roots = Roots.of([str(shared)])

    assert roots.allow(f"{shared}/loop.png")  # and opening it is an error of its row
    assert not roots.allow(f"{tmp_path}/secret/loop.png")
    assert not roots.allow(f"{shared}/a\0b.png")


def member_of(container: Path, name: str) -> ContainedPath:
    place = next(place for place in TarReader([str(container)], Given()).rows())["$cells"][0]
    return ContainedPath.of(f"{container}#{name}", str(container), Member(*place[1:]))


def test_a_member_is_allowed_where_its_tar_is_whatever_it_is_called(shared: Path) -> None:
    names = ("../../secret/a.png", "/etc/passwd.png")
    roots = Roots.of([str(shared)])

    for name in names:
        inside = write_tar(shared / "a.tar", {name: b"picture"})
        outside = write_tar(shared.parent / "secret" / "a.tar", {name: b"secret"})
        allowed = Sample(0, "0", (member_of(inside, name),), "What?")
        roots.check_media(allowed)
        assert hash_media(roots.confine(allowed).media[0]).size == len(b"picture")
        with pytest.raises(ForbiddenMedia, match="SAVS_ALLOWED_ROOTS"):
            roots.check_media(Sample(0, "0", (member_of(outside, name),), "What?"))


def test_a_tar_that_is_exchanged_for_a_link_after_the_check_is_not_read(shared: Path) -> None:
    inside = write_tar(shared / "a.tar", {"a.png": b"picture"})
    outside = write_tar(shared.parent / "secret" / "a.tar", {"a.png": b"secret!"})
    roots = Roots.of([str(shared)])
    sample = Sample(0, "0", (member_of(inside, "a.png"),), "What?")
    roots.check_media(sample)

    inside.unlink()
    inside.symlink_to(outside)

    with pytest.raises(ForbiddenMedia, match="a link that leads out of"):
        hash_media(roots.confine(sample).media[0])

from pathlib import Path

import pytest

from jobs.guarding import Roots
from savs.errors import ForbiddenAddress, ForbiddenMedia
from savs.samples import Sample


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

"""What is at a path need not be a file: it costs one row, at once, and says what it is."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from savs.data.media import open_media
from savs.data.video.sampling import FrameSampling
from savs.errors import ItemError, UnreadableMedia

PATIENCE = 20.0  # seconds; whoever waits at a pipe waits longer


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def links_in_a_circle(path: Path) -> None:
    path.symlink_to("other")
    path.with_name("other").symlink_to(path.name)


def named_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def linked_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


KINDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "loop": (link_to_itself, "cannot be read: Too many levels of symbolic links"),
    "circle": (links_in_a_circle, "cannot be read: Too many levels of symbolic links"),
    "pipe": (os.mkfifo, "is a named pipe, not a file"),
    "socket": (named_socket, "is a socket, not a file"),
    "endless device": (linked_to("/dev/zero"), "is a device, not a file"),
    "folder": (Path.mkdir, "is a folder, not a file"),
    "file of the kernel": (linked_to("/proc/self/mem"), "is empty"),
}


@pytest.mark.parametrize("suffix", [".png", ".mp4"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_a_file_is_an_error_that_says_so(tmp_path: Path, kind: str, suffix: str) -> None:
    make, reason = KINDS[kind]
    path = tmp_path / f"x{suffix}"
    make(path)
    found: list[Exception] = []

    def read() -> None:
        try:
            open_media(str(path), FrameSampling(4))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(PATIENCE)

    assert not thread.is_alive(), "it is still being read"
    [error] = found
    assert isinstance(error, UnreadableMedia)
    assert f"{path} {reason}" in str(error)


@pytest.mark.parametrize("name", ["a\0b.png", "a\0/b.png", "a\0/b.mp4", "\ud800.png", "\ud800/b.mp4"])
def test_a_name_that_no_file_can_have_is_an_error_of_its_item(tmp_path: Path, name: str) -> None:
    with pytest.raises(ItemError):
        open_media(f"{tmp_path}/{name}", FrameSampling(4))


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("a.png")

    open_media(str(tmp_path / "b.png"), FrameSampling(4))

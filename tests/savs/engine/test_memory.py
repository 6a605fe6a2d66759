"""Memory for decoded media is bounded before they are decoded: of an item, and of what is read ahead."""

import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from savs.data.media import Digest, open_media, open_with_digest
from savs.data.samples import Sample
from savs.data.space import MAX_ITEM_BYTES, Reserve
from savs.data.video.sampling import FrameSampling
from savs.engine.windows import Request, Window, read_ahead
from savs.errors import MediaTooLarge, MissingMedia, SettingsError
from tests.savs.data.video import clips

SAMPLING = FrameSampling(4)
PICTURE = 3 * 10 * 10  # bytes
PATIENCE = 20.0  # seconds


class Decoder:
    """Decodes pictures that are made up, after it has asked for memory; remembers which."""

    def __init__(self) -> None:
        self.decoded: list[str] = []
        self.lock = threading.Lock()

    def __call__(self, address: str, reserve: Reserve) -> tuple[Image.Image, Digest]:
        if "gone" in address:
            raise MissingMedia(f"{address} does not exist")
        assert reserve(PICTURE, True)
        with self.lock:
            self.decoded.append(address)
        return Image.new("RGB", (10, 10)), Digest(len(address), None)


def requests(*media: tuple[str, ...]) -> list[Request]:
    return [Request(n, Sample(n, str(n), shown), "What?") for n, shown in enumerate(media)]


def pictures(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{n}.png" for n in numbers)


def outcome(window: Window) -> dict[int, object]:
    shown: dict[int, object] = {one.request.number: len(one.media) for one in window.shown}
    return shown | {n: type(error) for n, error in window.errors.items()}


def test_an_item_of_too_many_pixels_fails_before_they_are_decoded_and_alone() -> None:
    decoder = Decoder()
    asked = requests(pictures(0), pictures(*range(100, 140)), pictures(1))

    [window] = read_ahead(asked, decoder, item_bytes=3 * PICTURE)

    assert outcome(window) == {0: 1, 1: MediaTooLarge, 2: 1}
    assert "more than 900 bytes of memory when decoded" in str(window.errors[1])
    assert "SAVS_MAX_ITEM_BYTES" in str(window.errors[1])
    assert len([name for name in decoder.decoded if len(name) == len("100.png")]) <= 3


def test_media_that_an_item_shows_twice_count_twice() -> None:
    asked = requests(("a.png", "a.png"), ("a.png",) * 4, ("b.png",) * 3)

    [window] = read_ahead(asked, Decoder(), item_bytes=3 * PICTURE)

    assert outcome(window) == {0: 2, 1: MediaTooLarge, 2: 3}


def test_a_file_of_an_item_that_is_too_large_is_there_for_others() -> None:
    # given items that share files with one that is too large, whichever of those files were refused
    shared = pictures(*range(10))
    asked = requests(shared, *((name,) for name in shared), shared[:3])

    [window] = read_ahead(asked, Decoder(), item_bytes=3 * PICTURE)

    assert outcome(window) == {0: MediaTooLarge} | dict.fromkeys(range(1, 11), 1) | {11: 3}


@pytest.mark.parametrize("place", [0, 2, 5])
def test_whether_an_item_is_too_large_does_not_depend_on_its_other_errors(place: int) -> None:
    media = [*pictures(*range(5))]
    media.insert(place, "gone.png")

    [window] = read_ahead(requests(tuple(media)), Decoder(), item_bytes=3 * PICTURE)

    assert outcome(window) == {0: MediaTooLarge} and window.digests == {0: ()}


def test_no_more_is_decoded_ahead_than_there_is_space_for() -> None:
    # given a caller that processes the first window for long
    decoder = Decoder()
    asked = requests(*(pictures(n) for n in range(30)))
    reading = read_ahead(asked, decoder, space=4 * PICTURE)
    windows = [next(reading)]

    # when as much as possible has been decoded meanwhile: the next window, and what is ahead of it
    end = time.monotonic() + PATIENCE
    while len(decoder.decoded) < 4 + 4 + 4 and time.monotonic() < end:
        time.sleep(0.001)

    # then the rest waits until there is space
    assert len(decoder.decoded) == 12
    assert [len(window) for window in [*windows, *reading]] == [4] * 7 + [2]
    assert len(decoder.decoded) == 30


def test_one_item_larger_than_the_space_is_decoded_when_its_turn_comes() -> None:
    asked = requests(pictures(0), pictures(*range(1, 9)), pictures(9), pictures(*range(10, 18)))

    windows = list(read_ahead(asked, Decoder(), space=2 * PICTURE, item_bytes=8 * PICTURE))

    assert [sorted(outcome(window).values()) for window in windows] == [[1, 8], [1, 8]]


def test_whoever_stops_does_not_wait_for_those_that_wait_for_memory() -> None:
    before = set(threading.enumerate())
    reading = read_ahead(requests(*(pictures(n) for n in range(30))), Decoder(), space=2 * PICTURE)
    next(reading)

    reading.close()

    assert set(threading.enumerate()) <= before


def test_files_are_measured_by_their_headers(tmp_path: Path) -> None:
    # given pictures and a video that are small as files, and an item that shows them all
    names = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        Image.new("L", (1000, 1000)).save(path)
        names.append(str(path))
    names.append(str(clips.plain(tmp_path / "clip.mp4", range(8))))
    needed = 3 * 3_000_000 + 3 * clips.WIDTH * clips.HEIGHT * 4

    def open_one(address: str, reserve: Reserve) -> object:
        return open_with_digest(address, SAMPLING, reserve=reserve)

    for limit, result in ((needed, 4), (needed - 1, MediaTooLarge)):
        [window] = read_ahead(requests(tuple(names)), open_one, item_bytes=limit)  # type: ignore[arg-type]
        assert outcome(window) == {0: result}


def test_videos_that_do_not_fit_beside_each_other_are_read_one_after_the_other(tmp_path: Path) -> None:
    clip = clips.plain(tmp_path / "0.mp4", range(8))
    names = [str(clip)]
    for number in range(1, 12):
        names.append(str(tmp_path / f"{number}.mp4"))
        Path(names[-1]).write_bytes(clip.read_bytes())

    def open_one(address: str, reserve: Reserve) -> object:
        return open_with_digest(address, SAMPLING, reserve=reserve)

    windows = list(read_ahead(requests(*((name,) for name in names)), open_one, space=1))  # type: ignore[arg-type]

    assert [outcome(window) for window in windows] == [{number: 1} for number in range(12)]


@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_the_limit_of_an_item_is_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / name
    if name == "a.png":
        Image.new("RGB", (100, 100)).save(path)
    else:
        clips.plain(path, range(4))
    needed = 30_000 if name == "a.png" else 3 * clips.WIDTH * clips.HEIGHT * 4

    monkeypatch.setenv("SAVS_MAX_ITEM_BYTES", str(needed))
    open_media(str(path), SAMPLING)
    monkeypatch.setenv("SAVS_MAX_ITEM_BYTES", str(needed - 1))
    with pytest.raises(MediaTooLarge, match=rf"{name} needs {needed:,} bytes of memory when decoded"):
        open_media(str(path), SAMPLING)


@pytest.mark.parametrize("text", ["0", "-1", "2 GiB", "1e9", "²"])
def test_a_limit_that_is_no_number_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from savs.data.space import max_item_bytes

    monkeypatch.setenv("SAVS_MAX_ITEM_BYTES", text)
    with pytest.raises(SettingsError, match=f"SAVS_MAX_ITEM_BYTES is .*{MAX_ITEM_BYTES}"):
        max_item_bytes()

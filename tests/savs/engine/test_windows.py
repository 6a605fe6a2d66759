"""Reading ahead: what makes a window, and what threads may not change about it."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from savs.data.media import Digest
from savs.data.samples import Sample
from savs.data.space import Reserve
from savs.data.video.sampling import Video
from savs.engine.windows import AHEAD, DECODERS, FIRST_REQUESTS, Request, Window, read_ahead
from savs.errors import ItemError, MissingMedia, NoQuestion


class Files:
    """Opens pictures that are made up; remembers what was opened, and how many at a time."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.lock, self.running, self.most = threading.Lock(), 0, 0
        self.slow: set[str] = set()
        self.gate = threading.Event()

    def __call__(self, address: str, reserve: Reserve) -> tuple[Image.Image | Video, Digest]:
        with self.lock:
            self.opened.append(address)
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            if address in self.slow:
                assert self.gate.wait(20)
            if "gone" in address:
                raise MissingMedia(f"{address} does not exist")
            return Image.new("RGB", (10, 10)), Digest(len(address), None)
        finally:
            with self.lock:
                self.running -= 1


def requests(media: list[tuple[str, ...]], question: str | None = "What?") -> list[Request]:
    return [Request(n, Sample(n, str(n), shown), question) for n, shown in enumerate(media)]


def numbers(window: Window) -> list[int]:
    return sorted([*(one.request.number for one in window.shown), *window.errors])


def test_the_first_windows_are_small_so_that_the_model_starts_early() -> None:
    asked = requests([(f"{n}.png",) for n in range(1600)])

    windows = list(read_ahead(asked, Files(), first=FIRST_REQUESTS))

    assert [len(window) for window in windows] == [32, 64, 128, 256, 512, 512, 96]


def test_windows_hold_every_request_once_and_in_order() -> None:
    asked = requests([(f"{n}.png",) for n in range(25)])

    windows = list(read_ahead(asked, Files(), limit=10))

    assert [numbers(window) for window in windows] == [[*range(10)], [*range(10, 20)], [*range(20, 25)]]
    assert [one.request for window in windows for one in window.shown] == asked


def test_what_several_requests_show_is_opened_once_consecutive_or_not() -> None:
    files = Files()
    asked = requests([("a.png",), ("b.png",), ("a.png", "b.png"), ("c.png",), ("a.png",)])

    [window] = read_ahead(asked, files)

    assert sorted(files.opened) == ["a.png", "b.png", "c.png"]
    assert window.shown[0].media[0] is window.shown[4].media[0] is window.shown[2].media[0]


def test_a_file_that_cannot_be_opened_costs_whoever_shows_it_and_no_other() -> None:
    files = Files()
    asked = requests([("a.png",), ("gone.png",), ("b.png", "gone.png"), ("b.png",)])

    [window] = read_ahead(asked, files)

    errors: dict[int, type[ItemError]] = {n: type(error) for n, error in window.errors.items()}
    assert errors == {1: MissingMedia, 2: MissingMedia}
    assert [one.request.number for one in window.shown] == [0, 3]
    assert {n: len(digests) for n, digests in window.digests.items()} == {0: 1, 1: 0, 2: 1, 3: 1}
    assert files.opened.count("gone.png") == 1


def test_a_request_without_a_question_opens_nothing() -> None:
    files = Files()

    [window] = read_ahead(requests([("a.png",)], question=None), files)

    assert isinstance(window.errors[0], NoQuestion) and not files.opened


def test_a_slow_file_holds_back_neither_the_others_nor_the_order() -> None:
    # given a first file that nobody hears of until all others of its window are open
    files = Files()
    files.slow = {"0.png"}
    asked = requests([(f"{n}.png",) for n in range(DECODERS + 4)])

    def open_gate() -> None:
        while len(files.opened) < len(asked):
            time.sleep(0.001)
        files.gate.set()

    threading.Thread(target=open_gate, daemon=True).start()
    [window] = read_ahead(asked, files)

    assert [one.request.number for one in window.shown] == [*range(len(asked))]


def test_no_more_is_opened_than_threads_and_the_next_window_hold() -> None:
    files, taken = Files(), []

    def endless() -> "object":
        for n in range(10_000):
            taken.append(n)
            yield Request(n, Sample(n, str(n), (f"{n}.png",)), "What?")

    reading = read_ahead(endless(), files, limit=8)  # type: ignore[arg-type]
    next(reading)
    reading.close()

    assert files.most <= DECODERS
    assert len(taken) <= 2 * 8 + AHEAD


def test_a_window_ends_where_its_pixels_fill_the_space() -> None:
    def video(address: str, reserve: Reserve) -> tuple[Video, Digest]:
        return Video(np.zeros((4, 10, 10, 3), np.uint8), (0, 1, 2, 3), 2.0, 4), Digest(1, None)

    asked = requests([(f"{n}.mp4",) for n in range(5)])

    windows = list(read_ahead(asked, video, space=2 * 4 * 300))

    assert [len(window) for window in windows] == [2, 2, 1]


def test_a_window_ends_between_items_and_not_between_the_questions_about_one() -> None:
    files = Files()
    asked = requests([(f"{n}.png",) for n in range(6) for _ in range(4)])

    windows = list(read_ahead(asked, files, limit=10))

    assert [len(window) for window in windows] == [12, 12]
    assert sorted(files.opened) == [f"{n}.png" for n in range(6)]

    # and so where pixels fill the space
    assert [len(window) for window in read_ahead(asked, files, space=2 * 300)] == [8, 8, 8]

    # but for an item with more questions than a window holds
    one = requests([("a.png",)] * 25)
    assert [len(window) for window in read_ahead(one, files, limit=10)] == [20, 5]


def test_so_many_files_are_opened_ahead_however_many_questions_there_are_about_each() -> None:
    files = Files()
    files.slow = {f"{n}.png" for n in range(40, 100)}  # of the second window
    asked = requests([(f"{n}.png",) for n in range(100) for _ in range(15)])

    reading = read_ahead(asked, files)

    def all_busy() -> None:
        end = time.monotonic() + 20
        while files.running < DECODERS and time.monotonic() < end:
            time.sleep(0.001)
        files.gate.set()

    next(reading)  # while the caller has the first window, the second is filled
    all_busy()
    reading.close()
    assert files.most == DECODERS


def test_only_what_was_asked_for_is_abandoned() -> None:
    given: list[Reserve] = []
    abandoned: list[list[bool]] = []

    def open_one(address: str, reserve: Reserve) -> tuple[Image.Image, Digest]:
        given.append(reserve)
        return Image.new("RGB", (10, 10)), Digest(1, None)

    def abandon(whose: Callable[[Reserve], bool]) -> None:
        abandoned.append([whose(reserve) for reserve in given])

    first = read_ahead(requests([("a.png",)]), open_one, abandon=abandon)
    next(first)
    list(read_ahead(requests([("b.png",)]), open_one, abandon=abandon))
    first.close()

    assert abandoned == [[False, True], [True, False]]


def test_what_is_no_error_of_an_item_is_raised(tmp_path: Path) -> None:
    def broken(address: str, reserve: Reserve) -> tuple[Image.Image, Digest]:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        list(read_ahead(requests([("a.png",)]), broken))

"""The frames of a video, their number and their times are what a player shows, whatever its structure."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from savs.data.media import open_media
from savs.data.video.decode import read_video
from savs.data.video.index import read_index
from savs.data.video.sampling import FrameSampling, Video
from savs.errors import UnreadableMedia
from tests.savs.data.video import clips

SAMPLINGS = (FrameSampling(8), FrameSampling(60), FrameSampling(None, 2.0), FrameSampling(None, 0.7))
DOCS = Path(__file__).parents[4] / "docs" / "media.md"


@pytest.fixture(scope="module")
def structures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return clips.every_structure(tmp_path_factory.mktemp("structures"))


def shown(path: Path) -> list[tuple[int, float]]:
    """Number and seconds of every frame that a player shows: FFmpeg decodes the whole file."""
    with av.open(str(path)) as container:
        frames = [
            (clips.number_of(frame.to_ndarray(format="rgb24")), frame.time)
            for frame in container.decode(video=0)
        ]
    if path.suffix == ".avi":  # which has a rate, and no times
        return [(number, place / clips.RATE) for place, (number, _) in enumerate(frames)]
    return [(number, seconds - frames[0][1]) for number, seconds in frames]


def test_the_index_lists_the_frames_that_a_player_shows(structures: dict[str, Path]) -> None:
    for name, path in structures.items():
        index, truth = read_index(path), shown(path)

        assert len(index.ticks) == len(truth), name
        seconds = [index.seconds(place) for place in range(len(truth))]
        assert seconds == pytest.approx([time for _, time in truth], abs=0.002), name


def test_the_chosen_frames_are_those_of_the_same_number_in_a_player(structures: dict[str, Path]) -> None:
    for name, path in structures.items():
        truth = shown(path)
        for sampling in SAMPLINGS:
            video = read_video(path, sampling)

            assert [clips.number_of(frame) for frame in video.frames] == [
                truth[place][0] for place in video.indices
            ], (name, sampling)
            assert video.total == len(truth), name


def test_the_structures_are_told_in_the_docs(structures: dict[str, Path]) -> None:
    text = DOCS.read_text()

    assert [name for name in structures if f"| {name} |" not in text] == []


def test_a_clean_video_gives_the_frames_that_decord_gives(tmp_path: Path) -> None:
    import decord

    path = clips.plain(tmp_path / "plain.mp4")
    reader = decord.VideoReader(str(path))
    for sampling in SAMPLINGS:
        video = read_video(path, sampling)

        assert video.indices == tuple(sampling.indices(60, 25.0))
        assert np.array_equal(video.frames, reader.get_batch(list(video.indices)).asnumpy())
        assert (video.fps, video.total, video.times) == (25.0, 60, None)


def test_at_a_variable_rate_frames_are_chosen_by_time_and_have_their_own_times(tmp_path: Path) -> None:
    # given ten frames of a second each, then thirty in a second
    path = clips.write(tmp_path / "v.mp4", range(40), times=clips.STILL_THEN_FAST)

    video = read_video(path, FrameSampling(None, 1.0))

    # then most of what is shown are the still frames, as on a screen
    assert video.indices == (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert video.times == pytest.approx(range(10))
    assert video.duration == pytest.approx(10.03)


@pytest.mark.parametrize("base", [Fraction(1, 1000), Fraction(1, 90000)])
def test_times_that_are_rounded_to_ticks_are_a_constant_rate(tmp_path: Path, base: Fraction) -> None:
    times = [round(1000 * i * 1001 / 30000) for i in range(60)]
    path = clips.write(tmp_path / ("ntsc.mkv" if base.denominator == 1000 else "ntsc.ts"), times=times)

    assert len({b - a for a, b in pairwise(read_index(path).ticks)}) > 1
    assert read_video(path, FrameSampling(8)).times is None


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_video_is_shown_upright(tmp_path: Path, degrees: int) -> None:
    upright = clips.plain(tmp_path / "plain.mp4", range(4))
    frame = read_video(upright, FrameSampling(4)).frames[1]
    path = clips.turned(upright, tmp_path / "turned.mp4", degrees)

    shown_turned = read_video(path, FrameSampling(4)).frames[1]

    assert np.array_equal(shown_turned, np.rot90(frame, -degrees // 90))


def test_frames_of_an_open_group_are_found_by_seeking_to_the_group_before(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "open.mp4", range(60), options=clips.OPEN_GROUPS)
    index = read_index(path)
    assert len(index.keys) > 2 and not index.ordered

    video = read_video(path, FrameSampling(2))

    assert [clips.number_of(frame) for frame in video.frames] == [0, 59]


@pytest.mark.parametrize(
    ("suffix", "name", "written"),
    [
        (".mp4", b"avc1", b"zzz1"),
        (".avi", b"H264", b"zzz1"),
        (".mkv", b"V_MPEG4/ISO/AVC", b"V_STRANGE/CODEC"),
    ],
)
def test_a_codec_that_is_not_known_is_named(tmp_path: Path, suffix: str, name: bytes, written: bytes) -> None:
    data = clips.plain(tmp_path / f"plain{suffix}").read_bytes()
    path = tmp_path / f"strange{suffix}"
    path.write_bytes(data.replace(name, written).replace(b"avcC", b"zzzC"))

    with pytest.raises(UnreadableMedia, match=f"its codec '{written.decode()}' is not supported"):
        read_video(path, FrameSampling(4))


@pytest.mark.parametrize("name", ["camera.m2ts", "camera.mts", "stream.ts"])
def test_transport_streams_open_with_and_without_time_codes(tmp_path: Path, name: str) -> None:
    path = clips.write(tmp_path / ("made.m2ts" if "camera" in name else "made.ts"))
    path = path.rename(tmp_path / name)
    assert path.read_bytes()[4 if "camera" in name else 0] == 0x47

    video = open_media(str(path), FrameSampling(8))

    assert isinstance(video, Video) and len(video.frames) == 8

"""Pictures and videos: what is opened, how, and what is refused."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from savs.data.media import Digest, base_name, open_media, open_with_digest
from savs.data.video.sampling import FrameSampling, Video
from savs.errors import ItemError, MediaTooLarge, MissingMedia, UnreadableMedia
from savs.storage import open_parent
from tests.faulty_s3 import FaultyS3
from tests.savs.data.drawing import noise, write_clip

SAMPLING = FrameSampling(frames=4)
ORIENTATION = 0x0112  # EXIF tag

Put = Callable[[str, bytes], str]


@pytest.fixture(params=["disk", "s3"])
def put(request: pytest.FixtureRequest, tmp_path: Path) -> Put:
    """Stores bytes under a name, in a folder or in a bucket, and gives their address."""
    base = str(tmp_path) if request.param == "disk" else f"s3://{request.getfixturevalue('bucket')}/media"

    def write(name: str, data: bytes) -> str:
        store, key = open_parent(f"{base}/{name}")
        store.write(key, data)
        return f"{base}/{name}"

    return write


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def pixels_of(address: str) -> np.ndarray:
    picture = open_media(address, SAMPLING)
    assert isinstance(picture, Image.Image)
    assert picture.mode == "RGB"
    return np.asarray(picture)


def video_of(address: str, sampling: FrameSampling) -> Video:
    video = open_media(address, sampling)
    assert isinstance(video, Video)
    return video


def bars(width: int = 30, height: int = 20) -> Image.Image:
    """White above, black below."""
    picture = Image.new("RGB", (width, height), "white")
    picture.paste("black", (0, height // 2, width, height))
    return picture


def test_a_picture_keeps_its_pixels(put: Put) -> None:
    picture = noise(30, 20)
    assert np.array_equal(pixels_of(put("a.png", encoded(picture, "PNG"))), np.asarray(picture))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG", "PPM", "AVIF", "JPEG2000"])
def test_the_content_decides_what_a_picture_is_not_its_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "picture.dat"
    path.write_bytes(encoded(bars(), kind))
    pixels = pixels_of(str(path))
    assert pixels.shape == (20, 30, 3)
    assert pixels[2].min() > 230
    assert pixels[-3].max() < 25


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright_as_its_exif_orientation_says(put: Put, orientation: int) -> None:
    # given a camera that was turned, and says so
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = noise(30, 20)
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    # then nobody need know
    address = put("turned.png", encoded(stored, "PNG", exif=exif))
    assert np.array_equal(pixels_of(address), np.asarray(upright))


def palette() -> Image.Image:
    return bars().quantize(4)


def palette_with_transparency() -> Image.Image:
    picture = bars().quantize(4)
    picture.info["transparency"] = 0
    return picture


@pytest.mark.parametrize(
    "picture",
    [
        palette(),
        palette_with_transparency(),
        bars().convert("L"),
        bars().convert("LA"),
        bars().convert("RGBA"),
        bars().convert("1"),
    ],
    ids=["palette", "transparent palette", "grey", "grey with alpha", "alpha", "one bit"],
)
def test_every_kind_of_png_becomes_rgb(tmp_path: Path, picture: Image.Image) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture, "PNG"))
    assert np.array_equal(pixels_of(str(path)), np.asarray(bars()))


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(bars().convert("CMYK"), "JPEG", quality=95))
    assert np.abs(pixels_of(str(path)).astype(int) - np.asarray(bars())).max() < 25


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_sixteen_bits_become_eight_and_not_all_white(tmp_path: Path, kind: str) -> None:
    # given a ramp from black to white in 65536 steps, as of an X-ray
    ramp = np.linspace(0, 65535, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(ramp), kind))
    # then it is a ramp still
    pixels = pixels_of(str(path))
    assert np.abs(pixels[:, :, 0].astype(int) - (ramp >> 8)).max() <= 1
    assert np.array_equal(pixels[:, :, 0], pixels[:, :, 2])


def test_of_an_animation_the_first_picture_is_shown(tmp_path: Path) -> None:
    first, second = Image.new("L", (8, 8), 10), Image.new("L", (8, 8), 200)
    path = tmp_path / "a.gif"
    path.write_bytes(encoded(first, "GIF", save_all=True, append_images=[second]))
    assert pixels_of(str(path)).max() == 10


def test_a_truncated_jpeg_is_refused(put: Put) -> None:
    whole = encoded(noise(200, 200), "JPEG")
    with pytest.raises(UnreadableMedia, match=r"half\.jpg cannot be decoded"):
        open_media(put("half.jpg", whole[: len(whole) // 2]), SAMPLING)


def test_a_png_with_damaged_data_is_refused(tmp_path: Path) -> None:
    whole = bytearray(encoded(noise(200, 200), "PNG"))
    whole[len(whole) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(whole)
    with pytest.raises(UnreadableMedia):
        open_media(str(tmp_path / "a.png"), SAMPLING)


def test_a_file_of_no_bytes_is_refused(put: Put) -> None:
    with pytest.raises(UnreadableMedia, match=r"none\.png is empty"):
        open_media(put("none.png", b""), SAMPLING)


def test_a_text_that_is_named_as_a_picture_is_refused(put: Put) -> None:
    with pytest.raises(UnreadableMedia, match="not an image of a known format"):
        open_media(put("text.png", b"this is no picture, whatever its name says\n"), SAMPLING)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 14_000])
def test_a_file_of_a_hundred_megapixels_is_refused(tmp_path: Path, side: int) -> None:
    # given a few kilobytes that would need 300 megabytes of memory, or twice as many
    path = tmp_path / "bomb.png"
    path.write_bytes(encoded(Image.new("1", (side, side)), "PNG"))
    assert path.stat().st_size < 100_000
    with pytest.raises(MediaTooLarge, match="pixels"):
        open_media(str(path), SAMPLING)


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"%PDF-1.4\n",
    ],
    ids=["eps", "svg", "pdf"],
)
def test_formats_that_are_programs_are_refused(put: Put, data: bytes) -> None:
    with pytest.raises(UnreadableMedia, match="not an image of a known format"):
        open_media(put("picture.png", data), SAMPLING)


@pytest.mark.parametrize("name", ["gone.png", "gone.mp4", "no/such/folder/gone.png"])
def test_a_file_that_is_not_there_is_missing(tmp_path: Path, bucket: str, name: str) -> None:
    for base in (str(tmp_path), f"s3://{bucket}", "s3://no-such-bucket"):
        with pytest.raises(MissingMedia, match="does not exist"):
            open_media(f"{base}/{name}", SAMPLING)


@pytest.mark.parametrize("name", ["folder.png", "folder.mp4"])
def test_a_folder_is_no_picture_and_no_video(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises((UnreadableMedia, MissingMedia)):
        open_media(str(tmp_path / name), SAMPLING)


@pytest.mark.parametrize(
    "address",
    [
        "ftp://example.org/a.png",
        "s3://",
        "s3://bucket-alone",
        "/",
        "..",
        "/tmp/" + "long" * 100 + ".png",
        "/tmp/" + "long" * 100 + ".mp4",
    ],
)
def test_an_address_that_cannot_be_one_is_an_error_of_its_item(address: str) -> None:
    with pytest.raises(ItemError):
        open_media(address, SAMPLING)


def test_a_digest_is_of_the_bytes_and_hashed_only_where_that_is_wanted(put: Put, tmp_path: Path) -> None:
    pictured = encoded(noise(30, 20), "PNG")
    filmed = write_clip(tmp_path / "made.mp4", 8, 8).read_bytes()
    for address, data in ((put("a.png", pictured), pictured), (put("a.mp4", filmed), filmed)):
        sizes: list[int] = []

        _, sized = open_with_digest(address, SAMPLING, lambda size, sizes=sizes: sizes.append(size) or False)
        medium, digest = open_with_digest(address, SAMPLING, lambda size: True)

        assert sizes == [len(data)]
        assert sized == Digest(len(data), None)
        assert digest == Digest(len(data), hashlib.sha256(data).hexdigest())
        shown = open_media(address, SAMPLING)
        assert np.array_equal(getattr(medium, "frames", medium), getattr(shown, "frames", shown))


def test_what_is_hashed_is_fetched_once(bucket: str, faulty: FaultyS3, tmp_path: Path) -> None:
    for name, data in (
        ("a.png", encoded(noise(30, 20), "PNG")),
        ("a.mp4", write_clip(tmp_path / "made.mp4", 8, 8).read_bytes()),
    ):
        store, key = open_parent(f"s3://{bucket}/{name}")
        store.write(key, data)
        faulty.seen.clear()
        open_with_digest(f"s3://{bucket}/{name}", SAMPLING, lambda size: True)
        assert [(method, path) for method, path, _ in faulty.seen] == [("GET", f"/{bucket}/{name}")]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/a b/c.png", "c.png"),
        ("s3://bucket/x/c.mp4", "c.mp4"),
        ("https://me:secret@x.test/y/c.png?sig=a/b.png", "c.png"),
        ("c.png", "c.png"),
    ],
)
def test_the_base_name_is_the_last_part_of_the_path(address: str, name: str) -> None:
    assert base_name(address) == name


def test_a_number_of_frames_is_spread_from_the_first_to_the_last(put: Put, tmp_path: Path) -> None:
    # given a video whose frame i is of brightness 8 * i
    data = write_clip(tmp_path / "made.mp4", 31, 8).read_bytes()
    # if four frames are wanted
    video = video_of(put("clip.mp4", data), FrameSampling(frames=4))
    # then they are the first, the last, and two between at equal distances
    assert video.indices == (0, 10, 20, 30)
    assert video.frames.shape == (4, 48, 64, 3)
    assert video.frames.dtype == np.uint8
    assert np.abs(video.frames.mean(axis=(1, 2, 3)) - [0, 80, 160, 240]).max() < 6
    # and the video's own times are kept
    assert (video.total, video.fps, video.duration) == (31, 8.0, 31 / 8)


def test_frames_per_second_are_taken_from_the_first_on_at_even_distances(tmp_path: Path) -> None:
    path = str(write_clip(tmp_path / "clip.mp4", 31, 8))
    video = video_of(path, FrameSampling(frames=None, fps=2.0))
    assert video.indices == (0, 5, 10, 15, 20, 25)
    assert np.abs(video.frames.mean(axis=(1, 2, 3)) - 8 * np.array(video.indices)).max() < 6


def test_a_short_video_gives_frames_twice_rather_than_fewer(tmp_path: Path) -> None:
    path = str(write_clip(tmp_path / "clip.mp4", 3, 8))
    video = video_of(path, FrameSampling(frames=8))
    assert len(video.frames) == 8
    assert set(video.indices) == {0, 1, 2}


@pytest.mark.parametrize("frames", [1, 2, 8, 16])
def test_a_number_of_frames_is_those_of_the_published_code(frames: int) -> None:
    for total in (1, 2, 10, 24, 31, 300, 2999):
        published = np.linspace(0, total - 1, frames, dtype=int)
        assert FrameSampling(frames=frames).indices(total, 8.0) == published.tolist()


@pytest.mark.parametrize("fps", [8.0, 23.976, 30.0])
def test_frames_by_rate_are_those_of_qwens_own_processor(fps: float) -> None:
    from transformers import Qwen2VLVideoProcessor
    from transformers.video_utils import VideoMetadata

    processor = Qwen2VLVideoProcessor()
    for total in (2, 3, 5, 24, 30, 31, 100, 3000, 100_000):
        theirs = processor.sample_frames(VideoMetadata(total_num_frames=total, fps=fps), fps=2.0)
        assert FrameSampling(frames=None, fps=2.0).indices(total, fps) == theirs.tolist()


def test_by_rate_the_only_frame_is_shown_twice() -> None:
    assert FrameSampling(frames=None, fps=2.0).indices(1, 8.0) == [0, 0]


@pytest.mark.parametrize(
    ("frames", "fps"), [(None, None), (4, 2.0), (0, None), (-1, None), (None, 0.0), (None, -2.0)]
)
def test_a_sampling_is_a_number_or_a_rate_and_positive(frames: int | None, fps: float | None) -> None:
    with pytest.raises(ValueError, match="frames"):
        FrameSampling(frames=frames, fps=fps)


@pytest.mark.parametrize("name", ["a.mp4", "a.AVI", "a.mov", "a.mkv", "a.webm", "a.m4v"])
def test_the_suffix_decides_that_a_file_is_a_video(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(write_clip(tmp_path / "made.mp4", 4, 4).read_bytes())
    assert len(video_of(str(path), SAMPLING).frames) == 4


def test_a_text_that_is_named_as_a_video_is_refused(put: Put) -> None:
    with pytest.raises(UnreadableMedia, match="not a video of a known container"):
        open_media(put("text.mp4", b"this is no video, whatever its name says\n" * 50), SAMPLING)


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{}'\n",
        '<?xml version="1.0"?><MPD><BaseURL>{}</BaseURL></MPD>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\n",
    ],
    ids=["HLS", "ffconcat", "DASH", "SDP"],
)
def test_a_video_that_only_names_other_files_is_refused_before_they_are_opened(
    put: Put, tmp_path: Path, playlist: str
) -> None:
    # given somebody else's video, which FFmpeg would play from the list
    secret = tmp_path / "elsewhere" / "secret.ts"
    secret.parent.mkdir()
    write_clip(secret, 4, 4)

    with pytest.raises(UnreadableMedia, match="not a video of a known container"):
        open_media(put("clip.mp4", playlist.format(secret).encode()), SAMPLING)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".m4v", ".avi", ".mkv", ".ts"])
def test_containers_of_frames_are_read_whatever_their_suffix(tmp_path: Path, suffix: str) -> None:
    clip = tmp_path / f"clip{suffix}"
    write_clip(clip, 8, 4)
    named = clip.rename(tmp_path / "clip.mp4")

    assert len(video_of(str(named), SAMPLING).frames) == 4


def test_a_truncated_video_is_refused(put: Put, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "made.mp4", 31, 8).read_bytes()
    with pytest.raises(UnreadableMedia, match="cannot be decoded as a video"):
        open_media(put("half.mp4", whole[: len(whole) // 2]), SAMPLING)


def test_a_video_of_no_bytes_is_refused(put: Put) -> None:
    with pytest.raises(UnreadableMedia, match=r"none\.mp4 is empty"):
        open_media(put("none.mp4", b""), SAMPLING)


def test_a_video_without_frames_is_refused(put: Put, tmp_path: Path) -> None:
    # given a whole file that holds sound alone
    import av

    with av.open(str(tmp_path / "made.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
    data = (tmp_path / "made.mkv").read_bytes()
    with pytest.raises(UnreadableMedia, match="cannot be decoded as a video"):
        open_media(put("nothing.mkv", data), SAMPLING)


def test_a_missing_video_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingMedia):
        open_media(str(tmp_path / "gone.mp4"), SAMPLING)

"""Attacks with damaged pictures and videos, and with hostile web servers."""

import random
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from savs.data.media import open_with_digest
from savs.data.video import decoder_pool
from savs.data.video.sampling import FrameSampling
from savs.errors import ItemError
from tests.attack.tally import Tally
from tests.savs.data.drawing import noise, write_clip
from tests.savs.data.test_web import (
    Patience,
    Server,
    answer,
    beside_this_machine,
    chunked,
    fetch,
    redirect,
    running,
)

PICTURES = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM")
VIDEOS = ("mp4", "avi", "mkv", "mov")
VIDEO_SHARE = 0.2
SECONDS = 10.0  # that a video may take
SAMPLING = FrameSampling(frames=4)


def attack_with_media(seed: int, count: int) -> Tally:
    """Pictures and videos with bytes changed: each opens, or is an error of its own item."""
    tally = Tally()
    decoder_pool.BASE_SECONDS = SECONDS
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(2) as threads:
        folder = Path(place)
        whole = _whole_files(folder)

        def attempt(number: int) -> str | None:
            rng = random.Random(f"{seed} {number}")
            name = rng.choice(VIDEOS if rng.random() < VIDEO_SHARE else PICTURES)
            path = folder / f"{number}.{name.lower()}"
            path.write_bytes(_damaged(whole[name], rng))
            try:
                open_with_digest(str(path), SAMPLING)
            except ItemError as error:
                return f"{number}: {error} has control characters" if not str(error).isprintable() else None
            except BaseException as error:
                return f"{number}.{name}: {error!r}"
            finally:
                path.unlink()
            return None

        for failure in threads.map(attempt, range(count)):
            tally.count(failure)
    return tally


def _whole_files(folder: Path) -> dict[str, bytes]:
    found = {}
    for name in PICTURES:
        stream = BytesIO()
        noise(40, 30).save(stream, name)
        found[name] = stream.getvalue()
    for name in VIDEOS:
        found[name] = write_clip(folder / f"whole.{name}", 8, 8, 96, 80).read_bytes()
    return found


def _damaged(data: bytes, rng: random.Random) -> bytes:
    hurt = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        place = rng.randrange(min(len(hurt), rng.choice([64, 512, len(hurt)])))
        ways: list[Callable[[], bytes]] = [
            lambda: rng.randbytes(1),
            lambda: rng.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"]),
            lambda: rng.randbytes(rng.randrange(1, 20)),
        ]
        new = rng.choice(ways)()
        hurt[place : place + len(new)] = new
    return bytes(hurt[: rng.randrange(len(hurt))]) if rng.random() < 0.1 else bytes(hurt)


def attack_with_answers(seed: int, count: int) -> Tally:
    """Hostile HTTP answers: each is the bytes, or an error of its own item, within its time."""
    rng, tally = random.Random(seed), Tally()
    patience = Patience(total=3, connect=2, read=1, pauses=(0, 0))
    for server in running(Server()):
        for number in range(count):
            address = server.put(f"/{number}", *(_hostile_answer(server, rng) for _ in range(3)))
            try:
                with fetch(address, 10**6, patience, beside_this_machine, lambda *_: ["127.0.0.1"]) as stream:
                    while stream.read(2**16):
                        pass
                tally.count(None)
            except ItemError as error:
                tally.count(None if str(error).isprintable() else f"{number}: control characters: {error!r}")
            except BaseException as error:
                tally.count(f"{number}: {error!r}")
    return tally


def _hostile_answer(server: Server, rng: random.Random) -> bytes:
    body = rng.randbytes(rng.choice([0, 10, 5000]))
    targets = (
        "file:///etc/passwd",
        "http://169.254.169.254/",
        "//",
        "http://[::1",
        "\x1b[2J",
        server.at("/x"),
    )
    status = rng.choice([100, 204, 206, 301, 304, 404, 429, 503, 999])
    ways: list[Callable[[], bytes]] = [
        lambda: redirect(rng.choice(targets), rng.choice([301, 302, 303, 307, 308])),
        lambda: answer(body, status=status, Retry_After=rng.choice(["-1", "x", "9" * 99, "0"])),
        lambda: answer(body, length=rng.choice([0, 3, 10**18, -5])),
        lambda: chunked(body or b"x") + b"zz\r\n" * rng.randrange(3),
        lambda: answer(body, length=None, Transfer_Encoding=rng.choice(["gzip", "x", "chunked, chunked"])),
        lambda: answer(body, Content_Encoding=rng.choice(["gzip", "br", "x" * 5000])),
        lambda: b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * rng.choice([1, 10**4]) + b"\r\n",
        lambda: answer(body).replace(b"\r\n", rng.choice([b"\n", b"\r", b"\0"])),
        lambda: _damaged(answer(body), rng),
        lambda: rng.randbytes(rng.randrange(1, 3000)),
    ]
    return rng.choice(ways)()

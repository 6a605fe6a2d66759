"""Media from the web: what is fetched, and whom a fetch can not be led to. The servers are real."""

import gzip
import hashlib
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from savs.data import web
from savs.data.media import Digest, is_video, open_media, open_with_digest
from savs.data.video.sampling import FrameSampling, Video
from savs.data.web import Patience, fetch, is_public
from savs.errors import ForbiddenMedia, ItemError, MediaTooLarge, MissingMedia, UnreadableMedia
from tests.certificates import write_certificate
from tests.savs.data.drawing import noise, write_clip

QUICK = Patience(total=20, connect=10, read=10, pauses=(0, 0))
NAME = "pictures.test"  # RFC 2606: no resolver knows it

Page = Callable[[], Iterable[bytes]]


class Server(ThreadingHTTPServer):
    """Answers with the bytes of its pages, header and all, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.stopping = threading.Event()

    def put(self, path: str, *answers: bytes) -> str:
        """The address of a page that gives these answers in turn, the last again and again."""
        left = list(answers)
        self.pages[path] = lambda: [left.pop(0) if len(left) > 1 else left[0]]
        return self.at(path)

    def drip(self, path: str, head: bytes, drop: bytes) -> str:
        """The address of a page that never ends, and never pauses for long."""

        def drops() -> Iterator[bytes]:
            yield head
            while not self.stopping.wait(0.02):
                yield drop

        self.pages[path] = drops
        return self.at(path)

    def at(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        page = self.server.pages.get(self.path.partition("?")[0], lambda: [answer(status=404)])
        with suppress(OSError):  # nobody listens any more
            for block in page():
                self.wfile.write(block)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


def answer(data: bytes = b"", *, status: int = 200, length: int | None = -1, **headers: str) -> bytes:
    """A whole answer; `length` is what it says of its own, None for nothing."""
    lines = [f"HTTP/1.1 {status} Words", "Connection: close"]
    if length is not None:
        lines.append(f"Content-Length: {len(data) if length < 0 else length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def redirect(target: str, status: int = 302) -> bytes:
    return answer(status=status, Location=target, Set_Cookie="who=you")


def chunked(*blocks: bytes) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(block), block) for block in blocks)
    return answer(length=None, Transfer_Encoding="chunked") + body


@pytest.fixture
def server() -> Iterator[Server]:
    yield from running(Server())


def running(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.stopping.set()
    server.shutdown()
    thread.join()
    server.server_close()


def beside_this_machine(place: str) -> bool:
    """What is allowed by default, and the test's own server."""
    return place == "127.0.0.1" or is_public(place)


def here(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def read(address: str, limit: int = 1000, patience: Patience = QUICK, resolve: web.Resolve = here) -> bytes:
    with fetch(address, limit, patience, beside_this_machine, resolve) as stream:
        return stream.read()


def test_the_bytes_come_as_they_are_stored(server: Server) -> None:
    assert read(server.put("/a.png", answer(b"some bytes"))) == b"some bytes"
    assert read(server.put("/b.png", chunked(b"some", b" bytes", b""))) == b"some bytes"
    assert read(server.put("/c.png", answer(b"some bytes", length=None))) == b"some bytes"


def test_a_stream_is_read_block_by_block(server: Server) -> None:
    data = noise(600, 600).tobytes()
    with fetch(server.put("/a", answer(data)), len(data), QUICK, beside_this_machine) as stream:
        blocks = list(iter(lambda: stream.read(300_000), b""))
    assert [len(block) for block in blocks] == [300_000, 300_000, 300_000, 180_000]
    assert b"".join(blocks) == data


def test_bytes_that_come_compressed_stay_so_and_none_are_asked_for(server: Server) -> None:
    packed = gzip.compress(b"some bytes")
    assert read(server.put("/a", answer(packed, Content_Encoding="gzip"))) == packed
    assert server.asked[0][1]["Accept-Encoding"] == "identity"


def test_a_path_may_hold_spaces_and_letters_of_any_kind(server: Server) -> None:
    server.put("/a%20%C3%BC.png", answer(b"x"))
    assert read(server.at("/a ü.png?sig=%2F#part")) == b"x"
    assert server.asked[0][0] == "/a%20%C3%BC.png?sig=%2F"


def test_the_server_is_told_the_name_and_nothing_about_the_reader(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a person with a proxy, and passwords in a file
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (tmp_path / "netrc").write_text(f"machine {NAME} login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    # and a server that hands out cookies
    server.put("/a.png", redirect("/b.png"))
    server.put("/b.png", answer(b"x"))
    assert read(server.at("/a.png", NAME)) == b"x"
    # then neither is used
    for _, headers in server.asked:
        assert set(headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding"}
        assert headers["Host"] == f"{NAME}:{server.server_port}"


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_is_missing(server: Server, status: int) -> None:
    with pytest.raises(MissingMedia, match=rf"/a\.png does not exist .*{status}"):
        read(server.put("/a.png", answer(status=status)))
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 400, 401, 403])
def test_any_other_answer_is_an_error_at_once(server: Server, status: int) -> None:
    with pytest.raises(UnreadableMedia, match=rf"answers {status}.*copy the file"):
        read(server.put("/a.png", answer(b"" if status in (204, 304) else b"x", status=status)))
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_asked_three_times(server: Server, status: int) -> None:
    with pytest.raises(UnreadableMedia, match=f"answers {status}; try again later"):
        read(server.put("/a.png", answer(status=status)))
    assert len(server.asked) == 3
    assert read(server.put("/b.png", answer(status=status), b"", answer(b"x"))) == b"x"


def test_a_pause_that_would_outlast_the_whole_time_is_not_made(server: Server) -> None:
    with pytest.raises(UnreadableMedia, match="answers 500"):
        read(server.put("/a.png", answer(status=500)), patience=Patience(total=20, pauses=(60,)))
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_five_redirects_are_followed(server: Server, status: int) -> None:
    for i in range(5):
        server.put(f"/{i}", redirect(f"/{i + 1}" if i % 2 else server.at(f"/{i + 1}"), status))
    server.put("/5", answer(b"x"))
    assert read(server.at("/0")) == b"x"


def test_redirects_without_end_are_not(server: Server) -> None:
    with pytest.raises(UnreadableMedia, match="redirects more than 5 times"):
        read(server.put("/a", redirect("/a")))
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.2/a.png", "http://169.254.169.254/latest/meta-data", "//10.0.0.1/", "http://[::1]/"],
)
def test_a_redirect_into_the_network_is_refused(server: Server, target: str) -> None:
    with pytest.raises(ForbiddenMedia, match="not on the public internet"):
        read(server.put("/a.png", redirect(target)), resolve=web.places_of)


@pytest.mark.parametrize("target", ["ftp://example.org/a", "file:///etc/passwd", "data:,x", "gopher://h/"])
def test_a_redirect_out_of_the_web_is_refused(server: Server, target: str) -> None:
    with pytest.raises(ForbiddenMedia, match="not http or https"):
        read(server.put("/a.png", redirect(target)))


@pytest.mark.parametrize("target", ["http://[::1", "http://h:99999/", "http:///"])
def test_a_redirect_to_no_address_is_an_error_of_its_item(server: Server, target: str) -> None:
    with pytest.raises(ItemError):
        read(server.put("/a.png", redirect(target)))


def test_a_password_in_an_address_is_refused_and_not_repeated(server: Server) -> None:
    address = server.put("/a.png", answer(b"x"))
    for leaking in (address.replace("//", "//me:secret@"), server.put("/b", redirect("//me:secret@h/"))):
        with pytest.raises(ForbiddenMedia, match="do not belong in addresses") as error:
            read(leaking)
        assert "secret" not in str(error.value)
    assert [path for path, _ in server.asked] == ["/b"]


def test_a_message_leaves_out_the_query(server: Server) -> None:
    with pytest.raises(MissingMedia) as error:
        read(server.at("/gone.png?X-Amz-Signature=secret#secret"))
    assert f"{server.at('/gone.png')} does not exist" in str(error.value)
    assert "secret" not in str(error.value)


def test_a_file_of_as_many_bytes_as_are_allowed_is_read_and_one_of_more_is_not(server: Server) -> None:
    address = server.put("/a", answer(b"x" * 1000))
    assert len(read(address, limit=1000)) == 1000
    with pytest.raises(MediaTooLarge, match="more than 999 bytes"):
        read(address, limit=999)


def test_a_length_that_is_too_great_is_refused_before_a_byte_is_read(server: Server) -> None:
    with (
        pytest.raises(MediaTooLarge),
        fetch(server.put("/a", answer(b"x", length=1001)), 1000, QUICK, beside_this_machine),
    ):
        pytest.fail("there is no stream")


@pytest.mark.parametrize(
    "endless",
    [answer(length=None), answer(length=None, Transfer_Encoding="chunked", Content_Length="10")],
    ids=["no length", "a length that chunks belie"],
)
def test_a_file_without_end_is_cut_at_the_limit(server: Server, endless: bytes) -> None:
    drop = b"64\r\n" + b"x" * 100 + b"\r\n" if b"chunked" in endless else b"x" * 100
    with pytest.raises(MediaTooLarge, match="more than 1000 bytes"):
        read(server.drip("/a", endless, drop))


@pytest.mark.parametrize(
    "broken",
    [answer(b"half", length=8), chunked(b"half"), chunked(b"half")[:-4], b"\0\1\2\r\n", b""],
    ids=["length", "chunks", "chunk", "no head", "nothing"],
)
def test_what_breaks_off_is_an_error_and_not_a_short_file(server: Server, broken: bytes) -> None:
    with pytest.raises(UnreadableMedia, match=r"broke off|cannot be fetched"):
        read(server.put("/a", broken))


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (answer(length=None), b"x"),
        (answer(length=900), b"x"),
        (answer(length=None, Transfer_Encoding="chunked"), b"1\r\nx\r\n"),
        (answer(length=None, Transfer_Encoding="chunked"), b"0"),
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"x"),
        (b"", b"H"),
    ],
    ids=["body", "body of known length", "chunks", "a chunk's head", "a header", "a status"],
)
def test_a_server_that_drips_is_left_when_the_whole_time_is_over(
    server: Server, head: bytes, drop: bytes
) -> None:
    # given a byte every 0.02 seconds, where 10 seconds without one would be borne
    began = time.monotonic()
    with pytest.raises(UnreadableMedia, match=r"took longer than 0\.3 seconds"):
        read(server.drip("/a", head, drop), patience=Patience(total=0.3, read=10, pauses=()))
    assert time.monotonic() - began < 5


def test_a_server_that_says_nothing_is_left(server: Server) -> None:
    def nothing() -> Iterator[bytes]:
        server.stopping.wait()
        yield b""

    server.pages["/a"] = nothing
    began = time.monotonic()
    with pytest.raises(UnreadableMedia, match="timed out"):
        read(server.at("/a"), patience=Patience(total=20, read=0.1, pauses=()))
    assert time.monotonic() - began < 5


def test_a_port_where_nobody_listens_is_tried_again_and_then_an_error() -> None:
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"http://{NAME}:{taken.getsockname()[1]}/a.png"
        with pytest.raises(UnreadableMedia, match="cannot be reached: Connection refused"):
            read(address, resolve=resolve)
    assert len(asked) == 3


def test_what_a_server_sends_in_place_of_an_answer_is_quoted_shortly_and_printably(server: Server) -> None:
    address = server.put("/a", b"\x1b[2J\x9c" + b"x" * 5000 + b"\r\n\r\n")
    with pytest.raises(UnreadableMedia) as refused:
        read(address)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 300


def test_nothing_stays_behind(server: Server) -> None:
    read(server.put("/a", answer(b"x")))
    for broken in (answer(b"half", length=8), answer(status=404), redirect("ftp://x/"), b""):
        with pytest.raises(ItemError):
            read(server.put("/a", broken))
    with pytest.raises(KeyError), fetch(server.put("/a", answer(b"x")), 9, QUICK, beside_this_machine):
        raise KeyError
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
    ],
)
def test_this_machine_is_refused_however_it_is_spelled(server: Server, host: str) -> None:
    server.put("/a.png", answer(b"x"))
    with pytest.raises(ForbiddenMedia, match="not on the public internet; copy the file") as error:
        open_media(server.at("/a.png", host), FrameSampling())
    assert host.lower() in str(error.value).lower()
    assert server.asked == []


@pytest.mark.parametrize(
    "place",
    [
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "127.8.8.8",
        "169.254.169.254",  # metadata of most clouds
        "168.63.129.16",  # Azure's
        "192.0.0.192",  # Oracle's
        "100.64.0.1",  # a provider's own
        "100.100.100.200",  # Alibaba's metadata
        "0.0.0.0",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fd00::1",
        "fd00:ec2::254",  # Amazon's metadata
        "fe80::1",
        "fe80::1%1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)
def test_an_address_that_is_not_the_worlds_is_not_public(place: str) -> None:
    assert not is_public(place)


@pytest.mark.parametrize(
    "place",
    ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_an_address_of_the_world_is(place: str) -> None:
    assert is_public(place)


def test_a_name_with_one_address_in_the_network_is_refused(server: Server) -> None:
    server.put("/a.png", answer(b"x"))
    with pytest.raises(ForbiddenMedia, match=NAME) as error:
        read(server.at("/a.png", NAME), resolve=lambda host, port: ["127.0.0.1", "10.0.0.1"])
    assert "10.0.0.1" not in str(error.value)
    assert server.asked == []


def test_a_name_that_changes_its_answer_is_asked_once(server: Server) -> None:
    # given a name that is a public address when it is checked and a private one ever after
    server.put("/a.png", answer(b"x"))
    answers = [["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1"]]
    assert read(server.at("/a.png", NAME), resolve=lambda host, port: answers.pop(0)) == b"x"
    # then the connection went to the address that was checked; the system knows no such name
    assert len(answers) == 2


def test_after_a_redirect_a_name_is_checked_again(server: Server) -> None:
    server.put("/a.png", redirect("/b.png"))
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    with pytest.raises(ForbiddenMedia):
        read(server.at("/a.png", NAME), resolve=lambda host, port: answers.pop(0))
    assert [path for path, _ in server.asked] == ["/a.png"]


def test_of_several_addresses_the_next_is_tried(server: Server) -> None:
    address = server.put("/a.png", answer(b"x"))
    # given an address of the same machine at which nobody listens
    with fetch(address, 9, QUICK, lambda place: True, lambda host, port: ["::1", "127.0.0.1"]) as stream:
        assert stream.read() == b"x"
    assert len(server.asked) == 1


@pytest.mark.parametrize(("number", "tries"), [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, 3)])
def test_a_name_that_nobody_knows_is_an_error_and_a_deaf_resolver_is_asked_again(
    number: int, tries: int
) -> None:
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        raise socket.gaierror(number, "no answer")

    with pytest.raises(UnreadableMedia, match=f"{NAME} cannot be resolved: no answer"):
        read(f"https://{NAME}/a.png", resolve=resolve)
    assert asked == [(NAME, 443)] * tries


@pytest.mark.parametrize(
    "address",
    [
        "http://",
        "http:///a.png",
        "http://[::1/a.png",
        "http://[oops]/a.png",
        "http://h:99999/a.png",
        "http://h:port/a.png",
        "http://two words/a.png",
        "http://a..b/a.png",
        f"http://{'long' * 30}.test/a.png",
        "http://\x00/a.png",
    ],
)
def test_an_address_that_cannot_be_one_is_an_error_of_its_item(address: str) -> None:
    with pytest.raises(ItemError), fetch(address, 1000, QUICK):
        pytest.fail("there is no stream")


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Server]:
    """A server with a certificate for NAME that it has signed itself."""
    write_certificate(tmp_path / "certificate.pem", NAME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem")
    server = Server()
    context.sni_callback = lambda wire, name, _: server.asked.append((f"hello, {name}", {}))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    yield from running(server)


@pytest.fixture
def trusted(secure: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The same server, on a machine that trusts its certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    web.certificates.cache_clear()
    yield secure
    web.certificates.cache_clear()


def test_a_certificate_that_nobody_vouches_for_is_refused(secure: Server) -> None:
    secure.put("/a.png", answer(b"x"))
    with pytest.raises(UnreadableMedia, match=rf"certificate of {NAME} is not valid: self-signed"):
        read(secure.at("/a.png", NAME, "https"))
    assert [path for path, _ in secure.asked] == [f"hello, {NAME}"]


def test_the_certificate_is_of_the_name_though_the_connection_goes_to_the_address(trusted: Server) -> None:
    trusted.put("/a.png", answer(b"x"))
    assert read(trusted.at("/a.png", NAME, "https")) == b"x"
    assert [path for path, _ in trusted.asked] == [f"hello, {NAME}", "/a.png"]
    assert read(trusted.at("/a.png", f"{NAME}.", "https")) == b"x"  # a name that is whole
    for host in ("others.test", "127.0.0.1"):
        with pytest.raises(UnreadableMedia, match=rf"certificate of {host} is not valid"):
            read(trusted.at("/a.png", host, "https"))


def test_what_was_encrypted_stays_so(trusted: Server) -> None:
    trusted.put("/a.png", redirect(f"http://{NAME}/a.png"))
    with pytest.raises(ForbiddenMedia, match="which is not encrypted"):
        read(trusted.at("/a.png", NAME, "https"))


@pytest.mark.parametrize("head", [answer(length=900), b"HTTP/1.1 200 OK\r\nX-A: "], ids=["body", "header"])
def test_a_server_that_drips_under_encryption_is_left_too(trusted: Server, head: bytes) -> None:
    trusted.drip("/a", head, b"x")
    began = time.monotonic()
    with pytest.raises(UnreadableMedia, match=r"took longer than 0\.5 seconds"):
        read(trusted.at("/a", NAME, "https"), patience=Patience(total=0.5, read=10))
    assert time.monotonic() - began < 5


@pytest.fixture
def opened(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that `open_media` may fetch from."""
    monkeypatch.setattr("savs.data.media.fetch", partial(fetch, patience=QUICK, allowed=beside_this_machine))
    return server


def png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def test_a_picture_of_the_web_keeps_its_pixels(opened: Server) -> None:
    picture = noise(30, 20)
    shown = open_media(opened.put("/a", answer(png(picture))) + "?as=a.mp4", FrameSampling())
    assert np.array_equal(np.asarray(shown), np.asarray(picture))


def test_a_video_of_the_web_is_one_by_its_path(opened: Server, tmp_path: Path) -> None:
    data = write_clip(tmp_path / "made.mp4", 31, 8).read_bytes()
    video = open_media(opened.put("/a.MP4", answer(data)) + "?sig=a/b.c", FrameSampling(frames=4))
    assert isinstance(video, Video)
    assert video.indices == (0, 10, 20, 30)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://x.test/a.mp4?sig=1", True),
        ("https://x.test/a.mp4#t=1", True),
        ("https://x.test/a.png?b.mp4", False),
        ("s3://bucket/a.mp4?sig=1", False),
        ("s3://bucket/a?b.mp4", True),
        ("/data/a#b.mp4", True),
    ],
)
def test_a_question_mark_ends_the_path_on_the_web_alone(address: str, expected: bool) -> None:
    assert is_video(address) is expected


def test_what_is_read_from_the_web_is_hashed_too(opened: Server) -> None:
    data = png(noise(30, 20))
    _, digest = open_with_digest(opened.put("/a.png", answer(data)), FrameSampling(), lambda size: True)
    assert digest == Digest(len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(("name", "limit"), [("a.png", "MAX_IMAGE_BYTES"), ("a.mp4", "MAX_VIDEO_BYTES")])
def test_pictures_and_videos_have_limits_of_their_own(
    opened: Server, monkeypatch: pytest.MonkeyPatch, name: str, limit: str
) -> None:
    monkeypatch.setattr(f"savs.data.media.{limit}", 100)
    address = opened.put(f"/{name}", answer(b"x" * 101, length=None))
    with pytest.raises(MediaTooLarge, match="more than 100 bytes"):
        open_media(address, FrameSampling())


@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_what_cannot_be_decoded_is_named_without_its_query(opened: Server, name: str) -> None:
    with pytest.raises(UnreadableMedia, match=rf"/{name} ") as error:
        open_media(opened.put(f"/{name}", answer(b"no such thing")) + "?sig=secret", FrameSampling())
    assert "secret" not in str(error.value)

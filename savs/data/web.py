"""Fetches media from untrusted web addresses.

A host name is resolved once. All its IP addresses must be public, and the connection goes to one of
the addresses that were checked, so that neither a name with changing answers nor a redirect leads
into this machine's own network. A failure is an ItemError whose message leaves out the query, which
may hold a signature.

This module does not decide which rows may fetch (jobs.shards.allowed_roots does), does not interpret the
bytes, and does not detect that a public address is your own. It has no cookies, proxies or cache, and does
not reuse connections. Resolving takes as long as the system's resolver takes; every other wait is limited.
"""

import functools
import io
import ipaddress
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urljoin

from savs.errors import ForbiddenMedia, MediaTooLarge, MissingMedia, UnreadableMedia

if TYPE_CHECKING:
    import ssl

    from urllib3.connection import HTTPConnection
    from urllib3.response import HTTPResponse
    from urllib3.util import Url

TOTAL_SECONDS = 60.0  # for one address, including redirects and further tries
CONNECT_SECONDS = 10.0  # including TLS
READ_SECONDS = 20.0  # without receiving a byte
PAUSES = (0.5, 2.0)  # seconds before the second and the third try
MAX_REDIRECTS = 5
BLOCK_BYTES = 2**18

REDIRECTS = (301, 302, 303, 307, 308)
QUOTED = 200  # characters of an error
GONE = (404, 410)
BUSY = (408, 429)
HEADERS = {"User-Agent": "savs", "Accept": "*/*", "Accept-Encoding": "identity"}
JSON = {"Content-Type": "application/json"}

IPV6_PUBLIC = ipaddress.IPv6Network("2000::/3")  # all public addresses that IANA has allocated so far
IPV6_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits
CLOUDS_OWN = (  # internal services of cloud providers, at addresses that look public
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure
    ipaddress.IPv4Network("192.0.0.0/24"),  # Oracle
)

Allowed = Callable[[str], bool]
Resolve = Callable[[str, int], list[str]]


@dataclass(frozen=True)
class Patience:
    """Timeouts of a fetch in seconds: total, to connect, without a byte; and the pauses between tries."""

    total: float = TOTAL_SECONDS
    connect: float = CONNECT_SECONDS
    read: float = READ_SECONDS
    pauses: tuple[float, ...] = PAUSES


def is_web(address: str) -> bool:
    """Return whether `fetch` handles `address`."""
    return address.lower().startswith(("http://", "https://"))


def shown(address: str) -> str:
    """A web address without the parts that may be secret: user, password and query."""
    scheme, _, rest = re.split(r"[?#]", address, maxsplit=1)[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _origin(address: str) -> tuple[str, str]:
    scheme, _, rest = shown(address).partition("://")
    return scheme, rest.partition("/")[0]


def is_public(place: str) -> bool:
    """Return whether the IP address `place` is on the public internet.

    An IPv4 address inside an IPv6 address (mapped, NAT64) is checked itself; 6to4 and Teredo are refused.
    """
    ip = ipaddress.ip_address(place)
    if isinstance(ip, ipaddress.IPv6Address):
        inside = ip.ipv4_mapped
        if ip in IPV6_NAT64:
            inside = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inside is None:
            tunnel = ip.sixtofour is not None or ip.teredo is not None
            return ip in IPV6_PUBLIC and ip.is_global and not tunnel
        ip = inside
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in CLOUDS_OWN)


def places_of(host: str, port: int) -> list[str]:
    """The IP addresses of `host`, in the order in which the system would try them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@contextmanager
def fetch(
    address: str,
    limit: int,
    patience: Patience = Patience(),
    allowed: Allowed = is_public,
    resolve: Resolve = places_of,
) -> Iterator[IO[bytes]]:
    """Yield a stream over the bytes at `address`, as the server stores them.

    limit    maximum number of bytes; more is an error
    allowed  returns whether an IP address may be connected to

    Raises MissingMedia, ForbiddenMedia, MediaTooLarge or UnreadableMedia, here and while the stream is
    read.
    """
    errand = Errand(address, limit, patience, allowed, resolve, time.monotonic() + patience.total)
    answer = _tried(errand)
    try:
        with io.BufferedReader(_Body(errand, answer), BLOCK_BYTES) as stream:
            yield stream
    finally:
        answer.close()


class Passing(UnreadableMedia):
    """A failure that another try may not meet."""


@dataclass(frozen=True)
class Errand:
    """What is asked of a server, and for how long: the bytes at an address, or to take `body`, JSON."""

    address: str
    limit: int
    patience: Patience
    allowed: Allowed
    resolve: Resolve
    deadline: float  # of time.monotonic()
    body: bytes | None = None

    @property
    def name(self) -> str:
        """The address as it may be shown. The path of one that takes a body often is a secret."""
        return shown(self.address) if self.body is None else "://".join(_origin(self.address))

    def left(self) -> float:
        """Seconds until the deadline, more than 0. Raises UnreadableMedia after it."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise UnreadableMedia(f"{self.name} took longer than {self.patience.total:g} seconds")
        return left


class Answer:
    """A response on a connection of its own, which is cut at the deadline.

    No other limit stops a server that sends a byte now and then, for example in a header.
    """

    response: "HTTPResponse"

    def __init__(self, connection: "HTTPConnection", deadline: float) -> None:
        self.connection = connection
        self.wire: socket.socket = connection.sock
        # Slightly late, so that `Errand.left` raises if the connection was cut, and not if it ended.
        self.timer = threading.Timer(max(deadline - time.monotonic(), 0) + 0.01, self._cut)
        self.timer.daemon = True
        self.timer.start()

    def ask(self, url: "Url", body: bytes | None) -> None:
        headers = HEADERS | {"Host": url.netloc or ""} | ({} if body is None else JSON)
        self.connection.request(
            "GET" if body is None else "POST",
            url.request_uri,
            body=body,
            headers=headers,
            preload_content=False,
            decode_content=False,
        )
        self.response = self.connection.getresponse()

    def _cut(self) -> None:
        with suppress(OSError):
            # on the plain socket: TLS's own `shutdown` must not be called from another thread
            socket.socket.shutdown(self.wire, socket.SHUT_RDWR)

    def close(self) -> None:
        self.timer.cancel()
        self.timer.join()  # else it may cut another connection that reuses this file descriptor
        if hasattr(self, "response"):
            self.response.close()
        self.connection.close()


class _Body(io.RawIOBase):
    """The bytes of a response, counted and limited in time."""

    def __init__(self, errand: Errand, answer: Answer) -> None:
        self.errand, self.answer, self.count = errand, answer, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self.answer.response.read1(min(len(buffer), BLOCK_BYTES))
        except _wire_errors() as error:
            self.errand.left()
            raise UnreadableMedia(
                f"{self.errand.name}: the connection broke off: {_reason(error)}"
            ) from error
        self.errand.left()
        self.count += len(data)
        if self.count > self.errand.limit:
            raise _too_large(self.errand)
        buffer[: len(data)] = data
        return len(data)


def _tried(errand: Errand) -> Answer:
    for pause in errand.patience.pauses:
        try:
            return _followed(errand)
        except Passing:
            if pause >= errand.left():
                raise
            time.sleep(pause)
    return _followed(errand)


def _followed(errand: Errand) -> Answer:
    """The response at the end of all redirects, each checked like the first address."""
    url = parsed(errand, errand.address)
    for _ in range(MAX_REDIRECTS + 1):
        answer = asked(errand, url)
        try:
            target = answer.response.headers.get("Location")
            if answer.response.status not in REDIRECTS or target is None:
                _check(errand, answer)
                return answer
            url = _redirected(errand, url, target)
        except BaseException:
            answer.close()
            raise
        answer.close()
    raise UnreadableMedia(f"{errand.name} redirects more than {MAX_REDIRECTS} times")


def parsed(errand: Errand, address: str) -> "Url":
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    try:
        url = parse_url(address)
    except LocationParseError as error:
        raise UnreadableMedia(f"{errand.name}: {shown(address)} is not a web address") from error
    if url.auth is not None:
        raise ForbiddenMedia(
            f"{errand.name}: user and password do not belong in addresses, which are stored in result rows; "
            "copy the file to a folder or a bucket"
        )
    if not url.host:
        raise UnreadableMedia(f"{errand.name}: {shown(address)} has no host")
    return url


def _redirected(errand: Errand, url: "Url", target: str) -> "Url":
    try:
        address = urljoin(url.url, target)
    except ValueError as error:
        raise UnreadableMedia(f"{errand.name} redirects to an invalid address") from error
    if not is_web(address):
        raise ForbiddenMedia(f"{errand.name} redirects to {shown(address)}, which is not http or https")
    there = parsed(errand, address)
    if (url.scheme, there.scheme) == ("https", "http"):
        raise ForbiddenMedia(f"{errand.name} redirects to {shown(address)}, which is not encrypted")
    return there


def asked(errand: Errand, url: "Url") -> Answer:
    answer = Answer(_connected(errand, url, _checked_places(errand, url)), errand.deadline)
    try:
        answer.ask(url, errand.body)
    except BaseException as error:
        answer.close()
        if not isinstance(error, _wire_errors()):
            raise
        errand.left()
        raise Passing(f"{errand.name} cannot be fetched: {_reason(error)}") from error
    return answer


def _checked_places(errand: Errand, url: "Url") -> list[str]:
    host = _host(url)
    try:
        places = errand.resolve(host, _port(url))
    except (OSError, ValueError) as error:  # ValueError: an invalid name
        passing = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
        kind = Passing if passing else UnreadableMedia
        raise kind(f"{errand.name}: the name {host} cannot be resolved: {_reason(error)}") from error
    # The message leaves out the IP address, so that rows do not reveal the names of an internal network.
    if not all(errand.allowed(place) for place in places):
        raise ForbiddenMedia(
            f"{errand.name}: {host} is not on the public internet; copy the file to a folder or a bucket"
        )
    return places


def _connected(errand: Errand, url: "Url", places: list[str]) -> "HTTPConnection":
    import ssl

    failure: Exception | None = None
    for place in places:
        connection = _connection(url, place)
        connection.timeout = min(errand.patience.connect, errand.left())
        try:
            connection.connect()
        except _wire_errors() as error:
            connection.close()
            if isinstance(error, ssl.SSLCertVerificationError):
                raise UnreadableMedia(
                    f"{errand.name}: the certificate of {_host(url)} is not valid: {error.verify_message}"
                ) from error
            failure = error
            continue
        connection.timeout = errand.patience.read
        return connection
    reason = _reason(failure) if failure else "it has no address"
    raise Passing(f"{errand.name}: {_host(url)} cannot be reached: {reason}") from failure


def _connection(url: "Url", place: str) -> "HTTPConnection":
    from urllib3.connection import HTTPConnection, HTTPSConnection

    if url.scheme == "http":
        return HTTPConnection(place, _port(url))
    return HTTPSConnection(place, _port(url), server_hostname=_host(url), ssl_context=certificates())


@functools.cache
def certificates() -> "ssl.SSLContext":
    """The system's certificates, read once: this takes longer than fetching a small image."""
    import ssl

    return ssl.create_default_context()


def _check(errand: Errand, answer: Answer) -> None:
    """Raise if the response's status or headers say that the media cannot be fetched."""
    status = answer.response.status
    if status in GONE:
        raise MissingMedia(f"{errand.name} does not exist (the server answers {status})")
    if status >= 500 or status in BUSY:
        raise Passing(f"{errand.name} cannot be fetched: the server answers {status}; try again later")
    if status != 200:
        raise UnreadableMedia(
            f"{errand.name} cannot be fetched: the server answers {status}; "
            "give an address that needs no login, or copy the file to a folder or a bucket"
        )
    if (answer.response.length_remaining or 0) > errand.limit:
        raise _too_large(errand)


def _too_large(errand: Errand) -> MediaTooLarge:
    return MediaTooLarge(f"{errand.name} has more than {errand.limit} bytes")


def _host(url: "Url") -> str:
    return (url.host or "").strip("[]")


def _port(url: "Url") -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _wire_errors() -> tuple[type[Exception], ...]:
    from http.client import HTTPException

    from urllib3.exceptions import HTTPError

    return (HTTPError, HTTPException, OSError)


def _reason(error: Exception) -> str:
    """Return why, on one line. The text may quote what the server sent, so it is cut and made printable."""
    cause = error.__cause__ or error
    text = str(getattr(cause, "strerror", None) or cause or type(cause).__name__)[:QUOTED]
    return "".join(letter if letter.isprintable() else "?" for letter in text)

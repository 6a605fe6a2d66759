"""An HTTP proxy before an S3 server that fails as S3 does: 503, 409, resets, lost, late and cut
answers; or that knows no conditional writes, as some servers do not."""

import http.client
import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

LATE = 1.0  # seconds before the first byte of a late answer
HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}

# What happens to a request: nothing, an answer of the proxy's own, a connection that breaks before
# or after the server has done what was asked or in the middle of its answer, or an answer that takes
# its time. "unconditional" does not tell the server of `If-None-Match`, and "501" refuses it.
Fault = str | None
Chooser = Callable[[str, str], Fault]  # of method and path


@dataclass
class FaultyS3:
    """The proxy. `choose` may be replaced at any time; `seen` lists what was done to whom."""

    upstream: str
    choose: Chooser = lambda method, path: None
    seen: list[tuple[str, str, Fault]] = field(default_factory=list)

    def __post_init__(self) -> None:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                proxy.serve(self)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _any

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # clients that are killed break off
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        fault = self.choose(request.command, request.path)
        self.seen.append((request.command, request.path, fault))
        if fault == "503":
            return self._say(request, 503, "SlowDown", body)
        if fault == "409":
            return self._say(request, 409, "ConditionalRequestConflict", body)
        if fault == "reset before":
            return self._break(request)
        if fault == "501" and "If-None-Match" in request.headers:
            return self._say(request, 501, "NotImplemented", body)
        if fault == "unconditional":
            del request.headers["If-None-Match"]
        status, headers, answer = self._forward(request, body)
        if fault == "reset after":
            return self._break(request)
        if fault == "late":
            time.sleep(LATE)
        request.send_response(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP:
                request.send_header(name, value)
        length = {k.lower(): v for k, v in headers}.get("content-length", "0")
        request.send_header("Content-Length", length if request.command == "HEAD" else str(len(answer)))
        request.end_headers()
        if fault == "cut":
            request.wfile.write(answer[: len(answer) // 2])
            request.wfile.flush()
            return self._break(request)
        request.wfile.write(answer)
        return None

    def _forward(
        self, request: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=30)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("expect", "connection")}
        connection.request(request.command, request.path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), data

    @staticmethod
    def _say(request: BaseHTTPRequestHandler, status: int, code: str, body: bytes) -> None:
        answer = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/xml")
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(answer)

    @staticmethod
    def _break(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        request.connection.shutdown(socket.SHUT_RDWR)


def now_and_then(share: float, seed: int) -> Chooser:
    """Faults of every kind on `share` of the requests; 409 only where S3 gives it, on a PUT."""
    rng, lock = random.Random(seed), threading.Lock()

    def choose(method: str, path: str) -> Fault:
        with lock:
            if rng.random() >= share:
                return None
            faults = ["503", "reset before", "reset after", "late"] + ["409"] * (method == "PUT")
            return rng.choice(faults)

    return choose


def first(times: int, fault: Fault, method: str, part: str) -> Chooser:
    """`fault` for the first `times` requests of `method` whose path contains `part`."""
    left, lock = [times], threading.Lock()

    def choose(asked: str, path: str) -> Fault:
        with lock:
            if asked == method and part in path and left[0]:
                left[0] -= 1
                return fault
            return None

    return choose

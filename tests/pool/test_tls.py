"""A broker behind TLS: only one whose certificate is vouched for, and is its host's, gets a password."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from jobs.queue.broker import Broker
from jobs.records.message import ReduceJob
from jobs.settings import broker_of
from savs.errors import BrokerError
from tests.certificates import write_certificate
from tests.pool.servers import RedisServer

MESSAGE = ReduceJob(job_id="pets-classify-00000000")


@dataclass
class Tunnel:
    """Takes TLS with a certificate, and goes on to Redis without; `heard` is what clients said."""

    upstream: int
    certificate: Path
    heard: bytes = b""

    def __post_init__(self) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate)
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), self.context.wrap_socket(client, server_side=True) as near:
            far = socket.create_connection(("127.0.0.1", self.upstream))
            threading.Thread(target=self._pump, args=(far, near), daemon=True).start()
            while data := near.recv(65536):
                self.heard += data
                far.sendall(data)

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while data := source.recv(65536):
                target.sendall(data)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])


@pytest.fixture
def tunnel(redis_server: RedisServer, tmp_path: Path) -> Iterator[Tunnel]:
    """A Redis whose certificate is for `localhost`, and signed by itself."""
    write_certificate(tmp_path / "certificate.pem", "localhost")
    tunnel = Tunnel(redis_server.port, tmp_path / "certificate.pem")
    yield tunnel
    tunnel.listener.close()


def broker(tunnel: Tunnel, host: str, query: str = "") -> Broker:
    url = broker_of(f"rediss://:secret@{host}:{tunnel.port}/0{query}")
    assert url is not None
    return Broker(url)


def trusting(tunnel: Tunnel) -> str:
    return f"?ssl_ca_certs={tunnel.certificate}"


def test_a_certificate_that_the_address_vouches_for_is_taken(
    tunnel: Tunnel, redis_server: RedisServer
) -> None:
    url = broker(tunnel, "localhost", trusting(tunnel)).url.replace(":secret@", "")
    pool = Broker(url)

    pool.redis.ping()
    pool.publish("savs.test", 0, [MESSAGE])

    assert pool.redis.llen("savs.test:0") == 1


@pytest.mark.parametrize(
    ("host", "trusted"),
    [("localhost", False), ("127.0.0.1", True)],
    ids=["nobody vouches for it", "another host's"],
)
def test_any_other_certificate_is_refused_before_the_password_is_sent(
    tunnel: Tunnel, host: str, trusted: bool
) -> None:
    pool = broker(tunnel, host, trusting(tunnel) if trusted else "")

    with pytest.raises(RedisError, match="certificate verify failed"):
        pool.redis.ping()
    with pytest.raises(BrokerError, match="certificate verify failed"):
        pool.publish("savs.test", 0, [MESSAGE])

    assert not tunnel.heard


def test_who_asks_for_no_check_gets_none(tunnel: Tunnel) -> None:
    url = broker_of(f"rediss://localhost:{tunnel.port}/0?ssl_cert_reqs=none")
    assert url is not None and "ssl_cert_reqs=none" in url

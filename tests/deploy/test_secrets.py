"""`make-secrets.sh`, run for real."""

import re
import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.exceptions import RedisError

from jobs.settings import broker_of
from tests.deploy.manifests import DEPLOY, compose, containers, manifest, pods, walk
from tests.pool.servers import RedisServer, free_port

SCRIPT = DEPLOY / "make-secrets.sh"
HOSTS = ["redis", "savs-redis.savs.svc"]


@dataclass
class GuardedRedis(RedisServer):
    """A server with the users that the script has made."""

    secrets: Path = Path()

    def options(self) -> list[str]:
        return [*super().options(), "--aclfile", str(self.secrets / "users.acl")]

    @property
    def url(self) -> str:
        password = urlsplit(variables(self.secrets / "worker.env")["SAVS_BROKER_URL"]).password
        return f"redis://worker:{password}@127.0.0.1:{self.port}/0"


def make_secrets(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(SCRIPT), str(folder), *HOSTS], capture_output=True, text=True)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing: apt-get install openssl")
    folder = tmp_path_factory.mktemp("pool") / "secrets"
    done = make_secrets(folder)
    assert done.returncode == 0, done.stderr
    return folder


def variables(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_the_addresses_log_in_to_a_redis_with_the_users(secrets: Path, tmp_path: Path) -> None:
    server = GuardedRedis(tmp_path, free_port(), secrets=secrets)
    server.start()
    try:
        for role in ("submitter", "worker"):
            url = broker_of(variables(secrets / f"{role}.env")["SAVS_BROKER_URL"])
            assert url is not None
            parts = urlsplit(url)
            assert (parts.scheme, parts.hostname, parts.port) == ("rediss", HOSTS[0], 6380)
            redis = Redis(port=server.port, username=parts.username, password=parts.password)
            assert redis.ping()
            assert "ssl_ca_certs=/etc/savs/redis/ca.crt" in url
        scaler = variables(secrets / "scaler.env")
        assert Redis(port=server.port, username=scaler["username"], password=scaler["password"]).ping()
        with pytest.raises(RedisError):
            Redis(port=server.port, username="worker", password="CHANGE-ME-WORKER").ping()
    finally:
        server.kill()


def test_the_certificate_is_valid_for_every_host_and_for_no_other(secrets: Path) -> None:
    context = ssl.create_default_context(cafile=str(secrets / "ca.crt"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(secrets / "redis.crt", secrets / "redis.key")

    for host in (*HOSTS, "localhost"):
        shake_hands(context, server, host)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, server, "elsewhere")


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> None:
    """A TLS handshake in memory. Raises SSLError if the client does not trust the server."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there, server_hostname=host)
    theirs = server.wrap_bio(there, back, server_side=True)
    for side in (ours, theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


def test_only_the_owner_gets_at_the_files_and_containers_can_read_them(secrets: Path) -> None:
    assert secrets.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in secrets.iterdir()}
    assert modes.pop("s3.env") == 0o644  # the keys of a bucket are put into it
    assert set(modes.values()) == {0o444}
    assert not (secrets / "ca.key").exists()


def test_passwords_that_are_in_use_are_not_replaced(secrets: Path) -> None:
    before = (secrets / "users.acl").read_text()

    done = make_secrets(secrets)

    assert done.returncode == 1
    assert "remove it" in done.stderr
    assert (secrets / "users.acl").read_text() == before


def test_two_pools_have_different_passwords(secrets: Path, tmp_path: Path) -> None:
    make_secrets(tmp_path / "other")

    for name in ("users.acl", "redis.key", "s3.env", "grafana-password"):
        assert (tmp_path / "other" / name).read_text() != (secrets / name).read_text()
    assert list(tmp_path.iterdir()) == [tmp_path / "other"]


def test_compose_and_kubernetes_read_files_that_are_made(secrets: Path) -> None:
    made = {path.name for path in secrets.iterdir()}
    read = {Path(secret["file"]).name for secret in compose()["secrets"].values()}
    for service in compose()["services"].values():
        read |= {Path(name).name for name in service.get("env_file", [])}
    keys = {
        item["key"]
        for pod in pods([*manifest("base/cpu-worker.yaml"), *manifest("redis/redis.yaml")])
        for volume in pod["spec"]["volumes"]
        for item in volume.get("secret", {}).get("items", [])
    }
    commands = [
        word
        for pod in pods(manifest("redis/redis.yaml"))
        for one in containers(pod)
        for word in one["command"]
    ]
    keys |= {Path(word).name for word in commands if word.startswith("/etc/savs/redis/")}
    [authentication] = manifest("base/scaler-authentication.yaml")

    assert read <= made
    assert keys == {"users.acl", "redis.crt", "redis.key", "ca.crt"}
    assert keys <= made
    scaler = {one["key"] for one in authentication["spec"]["secretTargetRef"] if one["name"] == "savs-scaler"}
    assert scaler == variables(secrets / "scaler.env").keys()


def test_no_file_of_deploy_has_a_password() -> None:
    for service in compose()["services"].values():
        for tree in walk(service.get("environment", {})):
            if isinstance(tree, dict):
                for name, value in tree.items():
                    if re.search("PASSWORD|SECRET|TOKEN|ACCESS_KEY", name):
                        assert name.endswith("__FILE") and str(value).startswith("/run/secrets/")
    kinds = {
        one["kind"]
        for path in (DEPLOY / "kubernetes").rglob("*.yaml")
        for one in manifest(str(path.relative_to(DEPLOY / "kubernetes")))
    }
    assert "Secret" not in kinds

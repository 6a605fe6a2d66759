"""Folders and buckets behind one small interface: whole objects, ranges, and conditional writes.

An address is a local path or `s3://bucket/key`. Writes are atomic: a reader sees the old object
or the new one. `create` is the ledger's foundation: of any number of writers exactly one wins.
This module does not retry beyond what boto3 does, and does not know what the objects mean.
"""

import functools
import hashlib
import os
import posixpath
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from savs.errors import Changed, NotFound, StorageError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client  # pragma: no cover
else:
    S3Client = Any

TEMPORARY = re.compile(r"\..*\.[0-9a-f]{32}\.tmp", re.S)  # a file that LocalStore is about to rename
S3_TIMEOUT = 30.0  # seconds without an answer
S3_ATTEMPTS = 5  # boto3's own tries per request
S3_CONFLICT_TRIES = 8  # tries of a conditional write that S3 answers with 409


class Store(Protocol):
    """A tree of objects. Keys are relative, separated by `/`."""

    url: str

    def read(self, key: str) -> bytes:
        """The whole object. Raises NotFound."""

    def read_range(self, key: str, offset: int, length: int, etag: str | None = None) -> bytes:
        """`length` bytes from `offset`. Raises NotFound, and Changed where `etag` is not the object's."""

    def open(self, key: str) -> IO[bytes]:
        """A stream over the object, to be closed by the caller. Raises NotFound."""

    def write(self, key: str, data: bytes) -> None:
        """Creates or replaces the object."""

    def create(self, key: str, data: bytes) -> bool:
        """Creates the object; False, and nothing written, where there is one already."""

    def list(self, prefix: str) -> Iterator[str]:
        """Keys below the folder `prefix`, sorted."""

    def exists(self, key: str) -> bool: ...

    def delete(self, key: str) -> None:
        """Removes the object if it is there."""

    def etag(self, key: str) -> str:
        """A word that changes when the object's bytes do. Raises NotFound."""


def open_store(url: str | Path) -> Store:
    """The folder (which need not exist yet) or `s3://bucket/prefix` at `url`."""
    text = str(url)
    if text.startswith("s3://"):
        bucket, _, prefix = text[len("s3://") :].partition("/")
        if not bucket:
            raise StorageError(f"{text!r} names no bucket; write s3://bucket/prefix")
        return S3Store(bucket, prefix.strip("/"))
    if "://" in text:
        raise StorageError(f"{text!r}: only local folders and s3:// addresses are supported")
    return LocalStore(Path(text))


def open_parent(url: str | Path) -> tuple[Store, str]:
    """The store that holds the object at `url`, and the object's key in it."""
    text = str(url)
    if text.startswith("s3://"):
        folder, _, name = text.rpartition("/")
        if folder == "s3:/" or not name:
            raise StorageError(f"{text!r} names no object; write s3://bucket/key")
        return open_store(folder), name
    path = Path(text)
    return LocalStore(path.parent), path.name


def join(url: str, *parts: str) -> str:
    """An address below `url`, which may be a local folder or an s3:// address."""
    return posixpath.join(url, *parts) if url.startswith("s3://") else str(Path(url, *parts))


def checked_key(key: str) -> str:
    """`key`, if it stays inside its store."""
    if not key or key.startswith("/") or "\0" in key or ".." in key.split("/"):
        raise StorageError(f"{key!r} is not a key inside a store")
    return key


class LocalStore:
    """A folder. Needs a file system with hard links, which every common one has."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)

    def read(self, key: str) -> bytes:
        with self.open(key) as stream:
            return stream.read()

    def read_range(self, key: str, offset: int, length: int, etag: str | None = None) -> bytes:
        if etag is not None and self.etag(key) != etag:
            raise Changed(f"{self._path(key)} has changed since the job was planned; submit it again")
        with self.open(key) as stream:
            stream.seek(offset)
            return stream.read(length)

    def open(self, key: str) -> IO[bytes]:
        try:
            return self._path(key).open("rb")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"{self._path(key)} does not exist") from error
        except OSError as error:
            raise StorageError(f"{self._path(key)} cannot be read: {error.strerror}") from error

    def write(self, key: str, data: bytes) -> None:
        path = self._path(key)
        temporary = self._temporary(path, data)
        try:
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StorageError(f"{path} cannot be written: {error.strerror}") from error
        _sync_folder(path.parent)

    def create(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        temporary = self._temporary(path, data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror}") from error
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
        return True

    def _temporary(self, path: Path, data: bytes) -> Path:
        temporary = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            with suppress(OSError):  # where the folder could not be made there is nothing to remove
                temporary.unlink()
            raise StorageError(f"{path} cannot be written: {error.strerror}") from error
        return temporary

    def list(self, prefix: str) -> Iterator[str]:
        folder = self._path(prefix) if prefix else self.root
        paths = (p for p in folder.rglob("*") if p.is_file() and not TEMPORARY.fullmatch(p.name))
        yield from sorted(p.relative_to(self.root).as_posix() for p in paths)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise StorageError(f"{path} cannot be deleted: {error.strerror}") from error

    def etag(self, key: str) -> str:
        path = self._path(key)
        try:
            stat = path.stat()
        except OSError as error:
            raise NotFound(f"{path} does not exist") from error
        try:
            return _sha256_of_file(str(path.resolve()), stat.st_size, stat.st_mtime_ns)
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}") from error


@functools.lru_cache(maxsize=64)
def _sha256_of_file(path: str, size: int, mtime_ns: int) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    """Makes a rename or link survive a power cut, where the system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems do not sync folders; the object itself is synced
    finally:
        os.close(descriptor)


class S3Store:
    """A prefix of a bucket. Credentials, region and profile as boto3 finds them; the endpoint from
    `SAVS_S3_ENDPOINT_URL` where it is set."""

    def __init__(self, bucket: str, prefix: str, client: S3Client | None = None) -> None:
        self.bucket, self.prefix = bucket, prefix
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self.client = client or s3_client(os.environ.get("SAVS_S3_ENDPOINT_URL"))

    def _key(self, key: str) -> str:
        return posixpath.join(self.prefix, checked_key(key))

    def _failed(self, key: str, error: Exception) -> StorageError:
        code = _code(error)
        where = f"s3://{self.bucket}/{self._key(key)}"
        if code in ("404", "NoSuchKey", "NoSuchBucket"):
            return NotFound(f"{where} does not exist")
        if code in ("412", "PreconditionFailed"):
            return Changed(f"{where} has changed since the job was planned; submit it again")
        return StorageError(f"{where}: {error}")

    def _call(self, key: str, method: str, **arguments: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = getattr(self.client, method)(
                Bucket=self.bucket, Key=self._key(key), **arguments
            )
            return answer
        except (ClientError, BotoCoreError) as error:
            raise self._failed(key, error) from error

    def read(self, key: str) -> bytes:
        with self.open(key) as stream:
            return stream.read()

    def read_range(self, key: str, offset: int, length: int, etag: str | None = None) -> bytes:
        condition = {"IfMatch": etag} if etag else {}
        if length == 0:
            return b""
        span = f"bytes={offset}-{offset + length - 1}"
        body: bytes = self._call(key, "get_object", Range=span, **condition)["Body"].read()
        return body

    def open(self, key: str) -> IO[bytes]:
        body: IO[bytes] = self._call(key, "get_object")["Body"]
        return body

    def write(self, key: str, data: bytes) -> None:
        self._call(key, "put_object", Body=data)

    def create(self, key: str, data: bytes) -> bool:
        for attempt in range(S3_CONFLICT_TRIES):
            try:
                self._call(key, "put_object", Body=data, IfNoneMatch="*")
                return True
            except Changed:
                return False
            except StorageError as error:
                if _code(error.__cause__) not in ("409", "ConditionalRequestConflict"):
                    raise
                if attempt == S3_CONFLICT_TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def list(self, prefix: str) -> Iterator[str]:
        from botocore.exceptions import BotoCoreError, ClientError

        root = f"{self.prefix}/" if self.prefix else ""
        folder = root + (f"{prefix.strip('/')}/" if prefix else "")
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=folder)
        try:
            for page in pages:
                for entry in page.get("Contents", []):
                    yield entry["Key"][len(root) :]
        except (ClientError, BotoCoreError) as error:
            raise self._failed(prefix or "*", error) from error

    def exists(self, key: str) -> bool:
        try:
            self._call(key, "head_object")
            return True
        except NotFound:
            return False

    def delete(self, key: str) -> None:
        self._call(key, "delete_object")

    def etag(self, key: str) -> str:
        etag: str = self._call(key, "head_object")["ETag"]
        return etag


def _code(error: BaseException | None) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


@functools.cache
def s3_client(endpoint_url: str | None = None) -> S3Client:
    """One client per process and endpoint; boto3 clients may be shared between threads."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=S3_TIMEOUT,
        read_timeout=S3_TIMEOUT,
        retries={"max_attempts": S3_ATTEMPTS, "mode": "standard"},
    )
    return boto3.client("s3", endpoint_url=endpoint_url, config=config)

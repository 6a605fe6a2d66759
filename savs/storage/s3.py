"""A bucket's prefix as a store, through boto3: conditional writes, ranged and resumed reads."""

import functools
import io
import os
import posixpath
import uuid
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

from savs.errors import Changed, NotFound, StorageError
from savs.storage.store import Listed, checked_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client  # pragma: no cover
else:
    S3Client = Any

S3_TIMEOUT = 30.0  # seconds without an answer
S3_ATTEMPTS = 5  # boto3's own attempts per request, and connection breaks of a stream before it fails
S3_BUFFER = 2**20  # bytes read ahead of a stream
S3_CONFLICT_TRIES = 8  # attempts of a conditional write that S3 answers with 409


class S3Store:
    """A prefix of a bucket. Credentials, region and profile as boto3 finds them; the endpoint from
    `SAVS_S3_ENDPOINT_URL` if it is set."""

    def __init__(self, bucket: str, prefix: str, client: S3Client | None = None) -> None:
        self.bucket, self.prefix = bucket, prefix
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self.client = client or _client_of(os.environ.get("SAVS_S3_ENDPOINT_URL") or None)

    def _key(self, key: str) -> str:
        if self.prefix:
            return f"{self.prefix}/{checked_key(key)}"
        if not key or "\0" in key or {".", ".."} & set(key.split("/")):
            raise StorageError(f"{key!r} is not a key that can be requested")  # HTTP clients resolve the dots
        return key

    def _failed(self, key: str, error: Exception) -> StorageError:
        code = _code(error)
        where = f"s3://{self.bucket}/{self._key(key)}"
        if code == "NoSuchBucket" or (code == "404" and not self._has_bucket()):
            return NotFound(f"there is no bucket {self.bucket!r} ({where})")
        if code in ("404", "NoSuchKey"):
            return NotFound(f"{where} does not exist")
        if code in ("412", "PreconditionFailed", "416", "InvalidRange"):  # of a range: it has become shorter
            return Changed(f"{where} has changed since the job was planned; submit it again")
        return StorageError(f"{where}: {error}")

    def _has_bucket(self) -> bool:
        """Return whether the bucket exists, as far as is known: the answer to HEAD has no reason in it."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self.client.head_bucket(Bucket=self.bucket)
        except (ClientError, BotoCoreError) as error:
            return _code(error) not in ("404", "NoSuchBucket")
        return True

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
        if length == 0:
            return b""
        with io.BufferedReader(_S3Stream(self, key, offset, offset + length, etag)) as stream:
            return stream.read()

    def open(self, key: str) -> IO[bytes]:
        return io.BufferedReader(_S3Stream(self, key), S3_BUFFER)

    def write(self, key: str, data: bytes) -> None:
        self._call(key, "put_object", Body=data)

    def write_blocks(self, key: str, blocks: Iterable[bytes]) -> None:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        stream = io.BufferedReader(_Blocks(blocks), S3_BUFFER)
        try:  # in several parts if it is large; they are given up if `blocks` raises
            self.client.upload_fileobj(stream, self.bucket, self._key(key))
        except _BlocksFailed as error:
            raise error.reason from error.reason.__cause__
        except (Boto3Error, ClientError, BotoCoreError) as error:
            raise self._failed(key, error) from error

    def create(self, key: str, data: bytes) -> bool:
        for attempt in range(S3_CONFLICT_TRIES):
            try:
                self._call(key, "put_object", Body=data, IfNoneMatch="*")
                return True
            except Changed:
                return False
            except StorageError as error:
                if _code(error.__cause__) in ("501", "NotImplemented"):
                    self.write(key, data)
                    return True
                if _code(error.__cause__) not in ("409", "ConditionalRequestConflict"):
                    raise
                if attempt == S3_CONFLICT_TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def list(self, prefix: str) -> Iterator[str]:
        root = f"{self.prefix}/" if self.prefix else ""
        for page in self._pages(prefix):
            for entry in page.get("Contents", []):
                yield entry["Key"][len(root) :]

    def walk(self, prefix: str) -> Iterator[Listed]:
        root = f"{self.prefix}/" if self.prefix else ""
        for page in self._pages(prefix):
            for entry in page.get("Contents", []):
                if (key := entry["Key"][len(root) :]) and not key.endswith("/"):  # which marks a folder
                    yield Listed(key, entry["Size"], entry["ETag"])

    def folders(self, prefix: str) -> Iterator[str]:
        for page in self._pages(prefix, Delimiter="/"):
            for entry in page.get("CommonPrefixes", []):
                yield entry["Prefix"].rstrip("/").rpartition("/")[2]

    def files(self, prefix: str) -> Iterator[str]:
        for page in self._pages(prefix, Delimiter="/"):
            for entry in page.get("Contents", []):
                if name := entry["Key"].rpartition("/")[2]:  # an empty name marks the folder itself
                    yield name

    def _pages(self, prefix: str, **arguments: str) -> Iterator[dict[str, Any]]:
        from botocore.exceptions import BotoCoreError, ClientError

        folder = posixpath.join(self.prefix, prefix.strip("/"), "").lstrip("/")
        paginator = self.client.get_paginator("list_objects_v2")
        try:
            yield from paginator.paginate(Bucket=self.bucket, Prefix=folder, **arguments)
        except (ClientError, BotoCoreError) as error:
            raise self._failed(prefix or "*", error) from error

    def honours_conditions(self) -> bool:
        key = f".probe-{uuid.uuid4().hex}"
        try:
            self.write(key, b"first")  # not `create`, which returns False if its first response is lost
            return not self.create(key, b"second")
        finally:
            self.delete(key)

    def exists(self, key: str) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self.client.head_object(Bucket=self.bucket, Key=self._key(key))
            return True
        except (ClientError, BotoCoreError) as error:
            if _code(error) in ("404", "NoSuchKey"):  # the common answer: no second request for the bucket
                return False
            raise self._failed(key, error) from error

    def size(self, key: str) -> int:
        return int(self._call(key, "head_object")["ContentLength"])

    def prune(self, prefix: str) -> None:
        pass  # a bucket has no folders

    def delete(self, key: str) -> None:
        self._call(key, "delete_object")

    def etag(self, key: str) -> str:
        etag: str = self._call(key, "head_object")["ETag"]
        return etag


class _S3Stream(io.RawIOBase):
    """An object, or a range of it, from start to end. A stream whose connection breaks is resumed at
    the same byte, if the object is still the one that was opened."""

    def __init__(
        self, store: S3Store, key: str, offset: int = 0, end: int | None = None, etag: str | None = None
    ) -> None:
        self.store, self.key, self.offset, self.end, self.etag = store, key, offset, end, etag
        self.breaks = 0
        self.body = self._open()

    def _open(self) -> Any:
        condition = {"IfMatch": self.etag} if self.etag else {}
        ranged = self.offset or self.end is not None
        last = "" if self.end is None else self.end - 1
        span = {"Range": f"bytes={self.offset}-{last}"} if ranged else {}
        answer = self.store._call(self.key, "get_object", **condition, **span)
        self.etag = answer["ETag"]
        return answer["Body"]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        from botocore.exceptions import BotoCoreError, HTTPClientError

        data = b""
        while self.offset != self.end:
            try:
                data = self.body.read(len(buffer))
                break
            except (BotoCoreError, HTTPClientError, OSError) as error:
                self.breaks += 1
                if self.breaks == S3_ATTEMPTS:
                    raise self.store._failed(self.key, error) from error
                self.body = self._open()
        buffer[: len(data)] = data
        self.offset += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self.body.close()
        super().close()


class _BlocksFailed(Exception):
    """The blocks of a stream have raised `reason`. boto3 waits for ever if it is no `Exception`, as of a
    Ctrl-C: it reads the stream in a thread of its own."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _Blocks(io.RawIOBase):
    """Blocks of bytes as a stream that can be read once. Raises _BlocksFailed."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self.blocks = iter(blocks)
        self.rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.rest:
            try:
                block = next(self.blocks, None)
            except BaseException as error:
                raise _BlocksFailed(error) from error
            if block is None:
                return 0
            self.rest = memoryview(block)
        count = min(len(buffer), len(self.rest))
        buffer[:count], self.rest = self.rest[:count], self.rest[count:]
        return count


def _code(error: BaseException | None) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _client_of(endpoint_url: str | None) -> S3Client:
    """Raises StorageError if the endpoint or the settings of boto3 cannot be used."""
    from botocore.exceptions import BotoCoreError

    try:
        return s3_client(endpoint_url)
    except (BotoCoreError, ValueError) as error:
        raise StorageError(f"S3 cannot be used: {error}; check SAVS_S3_ENDPOINT_URL and AWS_…") from error


@functools.cache
def s3_client(endpoint_url: str | None = None) -> S3Client:
    """One client per process and endpoint; boto3 clients may be shared between threads."""
    import boto3
    from botocore.config import Config

    config = Config(
        # S3 servers other than AWS refuse the checksums that boto3 otherwise sends after the body.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=S3_TIMEOUT,
        read_timeout=S3_TIMEOUT,
        retries={"max_attempts": S3_ATTEMPTS, "mode": "standard"},
    )
    return boto3.client("s3", endpoint_url=endpoint_url, config=config)

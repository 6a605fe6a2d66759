"""Opens the store at an address: a local path or `s3://bucket/key`."""

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from savs.errors import SettingsError, StorageError
from savs.storage.folder import LocalStore
from savs.storage.s3 import S3Store
from savs.storage.store import Store


def open_store(url: str | Path, inside: Sequence[str | Path] | None = None) -> Store:
    """The store at `url`: a folder (which need not exist yet) or `s3://bucket/prefix`.

    inside  the folders that links in a folder may not lead out of; by default that folder itself
    """
    text = without_scheme(str(url))
    if text.startswith("s3://"):
        bucket, _, prefix = text[len("s3://") :].partition("/")
        if not bucket:
            raise StorageError(f"{text!r} has no bucket; write s3://bucket/prefix")
        return S3Store(bucket, prefix.strip("/"))
    if "://" in text:
        raise StorageError(f"{text!r}: only local folders and s3:// addresses are supported")
    return LocalStore(Path(text), (text,) if inside is None else inside)


def open_parent(
    url: str | Path, inside: Sequence[str | Path] | None = None, pipes: bool = True
) -> tuple[Store, str]:
    """The store that holds the object at `url`, and the object's key in it.

    inside  the folders that links may not lead out of; None if they may lead anywhere
    pipes   whether the object may be a pipe or a device, whose reader waits

    In a bucket the key is used as it is: `s3://b/a//x` is the object `a//x`.
    """
    text = without_scheme(str(url))
    if text.startswith("s3://"):
        bucket, _, key = text[len("s3://") :].partition("/")
        if not bucket or not key or key.endswith("/"):
            raise StorageError(f"{text!r} has no object key; write s3://bucket/key")
        return S3Store(bucket, ""), key
    path = Path(text)
    return LocalStore(path.parent, inside, pipes), path.name


def without_scheme(url: str) -> str:
    """The path of a `file://` address of this machine; other addresses as they are."""
    parts = urlsplit(url) if url.lower().startswith("file://") else None
    if parts is None or parts.netloc not in ("", "localhost"):
        return url
    return unquote(url.split("://", 1)[1].removeprefix(parts.netloc))


def absolute_path(text: str) -> Path:
    """A path as a user types it, `~` included: absolute, links followed. Raises SettingsError if there is no
    such user, or if it cannot be a path."""
    try:
        return Path(os.path.realpath(Path(text).expanduser()))
    except RuntimeError as error:
        home = text.partition("/")[0]
        raise SettingsError(f"{text}: the home folder {home} is not known; write the whole path") from error
    except ValueError as error:
        raise SettingsError(f"{text!r} is not a path: {error}") from error


def join(url: str, *parts: str) -> str:
    """An address below `url`, which may be a local folder or an s3:// address."""
    return posixpath.join(url, *parts)

"""The addresses that a job may read: below a worker's allowed roots, after links and `..` are resolved,
and on the web.

The manifest of a job names addresses that workers open with their own permissions. This check keeps a job
from reading what the pool's owner did not mean to share; it does not replace file permissions or bucket
policies, and it does not check the content of files. Only media are read from the web, and only with
--allow-http; whether an address is public is checked when it is fetched (savs.data.web).
"""

import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from savs.data.confined import ConfinedPath
from savs.data.containers.contained import ContainedPath, container_of
from savs.data.samples import Sample
from savs.data.web import is_web, shown
from savs.errors import ForbiddenAddress, ForbiddenMedia

SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # two letters or more: C: is a drive


@dataclass(frozen=True)
class Roots:
    """Allowed roots: folders, and buckets or prefixes of buckets as s3:// addresses.

    allowed  None allows all addresses
    http     whether media may be fetched from the web
    """

    allowed: tuple[str, ...] | None
    http: bool = False

    @classmethod
    def of(cls, addresses: Sequence[str], http: bool = False) -> "Roots":
        return cls(tuple(_resolved(address) for address in addresses if address), http)

    @classmethod
    def everywhere(cls, http: bool = False) -> "Roots":
        """Return roots for a user's own process, which reads with the user's permissions."""
        return cls(None, http)

    @property
    def folders(self) -> tuple[str, ...] | None:
        """The roots that are folders: no file that is opened may lie outside of them. None allows all."""
        if self.allowed is None:
            return None
        return tuple(root for root in self.allowed if not root.startswith("s3://"))

    def allow(self, address: str) -> bool:
        """Return whether `address` is a root or below one, or is on the web and that is allowed."""
        if is_web(address):
            return self.http
        if not _readable(address):
            return False
        if self.allowed is None:
            return True
        if address.startswith("s3://") and {"..", "."} & set(address.split("/")):
            return False  # object names are literal, and these are never meant literally
        # A key is used as it is, so it must be below a root as it is: `b//a/x` is not below `b/a`.
        place = address if address.startswith("s3://") else _resolved(address)
        return any(place == root or place.startswith(root.rstrip("/") + "/") for root in self.allowed)

    def check_address(self, address: str) -> None:
        """Raises ForbiddenAddress unless a manifest or an artifact may be read at `address`."""
        if is_web(address):
            raise ForbiddenAddress(
                f"{shown(address)} is on the web, where only media are read; copy it to a folder or a bucket"
            )
        if not self.allow(address):
            raise ForbiddenAddress(self._refusal(address))

    def check_media(self, sample: Sample) -> None:
        """Raises ForbiddenMedia unless all media of `sample` are allowed."""
        for address in map(container_of, sample.media):
            if not self.allow(address):
                raise ForbiddenMedia(self._refusal(address))

    def confine(self, sample: Sample) -> Sample:
        """Return `sample` with local media that are checked again when they are open, since a file may be
        exchanged for a link after `check_media`."""
        folders = self.folders
        if folders is None:
            return sample
        return replace(sample, media=tuple(_confined(address, folders) for address in sample.media))

    def _refusal(self, address: str) -> str:
        if is_web(address):
            return f"{shown(address)} is on the web, which is read only with --allow-http"
        if not _readable(address):
            return f"{address} is not the address of a folder, a bucket (s3://) or the web (http, https)"
        known = ", ".join(self.allowed or ())
        return f"{address} is outside this worker's allowed roots ({known}); see SAVS_ALLOWED_ROOTS"


def _confined(address: str, folders: Sequence[str]) -> str:
    container = container_of(address)
    if "://" in container:
        return address
    confined = ConfinedPath.of(container, folders)
    if isinstance(address, ContainedPath):
        return ContainedPath.of(address, confined, address.place)
    return confined


def _readable(address: str) -> bool:
    """Return whether `address` is a local path or an s3:// address."""
    if "\0" in address:
        return False
    return address.startswith("s3://") or not ("://" in address or SCHEME.match(address))


def _resolved(address: str) -> str:
    if address.startswith("s3://"):
        return "s3://" + posixpath.normpath(address[len("s3://") :]).lstrip("/")
    try:
        return os.path.realpath(address)  # Path.resolve raises RuntimeError at a link that leads to itself
    except ValueError:  # a NUL character: such a path is below no root
        return ""

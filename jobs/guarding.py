"""Where a worker may read: under its allowed roots, after links and `..` are resolved.

Whoever can submit a job names addresses that workers open with their own rights. This keeps a job
from reading what the pool's owner did not mean to share; it does not replace file permissions or
bucket policies, and it does not look at what lies in the files.
"""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from savs.errors import ForbiddenAddress, ForbiddenMedia
from savs.samples import Sample


@dataclass(frozen=True)
class Roots:
    """Folders, and buckets or prefixes of buckets as s3:// addresses."""

    allowed: tuple[str, ...]

    @classmethod
    def of(cls, addresses: Sequence[str]) -> "Roots":
        return cls(tuple(_resolved(address) for address in addresses if address))

    def allow(self, address: str) -> bool:
        """Whether `address` is one of the roots or lies below one."""
        if "://" in address and not address.startswith("s3://"):
            return False
        if address.startswith("s3://") and {"..", "."} & set(address.split("/")):
            return False  # an object's name is taken literally, and these are never meant so
        place = _resolved(address)
        return any(place == root or place.startswith(root.rstrip("/") + "/") for root in self.allowed)

    def check_address(self, address: str) -> None:
        """Raises ForbiddenAddress unless `address` is allowed."""
        if not self.allow(address):
            raise ForbiddenAddress(f"{address} lies outside this worker's allowed roots{self._known()}")

    def check_media(self, sample: Sample) -> None:
        """Raises ForbiddenMedia unless all media of `sample` are allowed."""
        for address in sample.media:
            if not self.allow(address):
                raise ForbiddenMedia(f"{address} lies outside this worker's allowed roots{self._known()}")

    def _known(self) -> str:
        return f" ({', '.join(self.allowed)}); see SAVS_ALLOWED_ROOTS"


def _resolved(address: str) -> str:
    if address.startswith("s3://"):
        return "s3://" + posixpath.normpath(address[len("s3://") :]).lstrip("/")
    return str(Path(address).resolve())

"""Tars for tests, written by Python's own `tarfile`."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

Member = tuple[str, bytes]


def tar_bytes(members: Mapping[str, bytes] | Sequence[Member], format: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar with these members, in order."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as tar:
        for name, data in members.items() if isinstance(members, Mapping) else members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def write_tar(
    path: Path, members: Mapping[str, bytes] | Sequence[Member], format: int = tarfile.PAX_FORMAT
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tar_bytes(members, format))
    return path

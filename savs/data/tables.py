"""Opens Parquet and Arrow files, in folders and buckets, through pyarrow."""

import hashlib
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

from savs.errors import DatasetError, SettingsError
from savs.storage import Store, open_parent
from savs.storage.folder import LocalStore
from savs.storage.ranged import RangedFile

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

END_BYTES = 4096  # of a file, which identify it: Parquet has there where its parts are, and how large
MARK_DIGITS = 8


def needed_pyarrow(address: str) -> Any:
    """Return pyarrow. Raises SettingsError if it is not installed."""
    try:
        import pyarrow
    except ImportError as error:
        raise SettingsError(f"{address} needs pyarrow: pip install 'savs[parquet]'") from error
    return pyarrow


def open_file(address: str, inside: Sequence[str] | None = None) -> IO[bytes]:
    """Return the file at `address`, in which one can seek; `inside` as in `open_parent`."""
    store, key = open_parent(address, inside, pipes=False)
    return _seekable(store, key)


def _seekable(store: Store, key: str) -> IO[bytes]:
    if isinstance(store, LocalStore):
        return store.open(key)
    # Not buffered: pyarrow asks for whole chunks of columns.
    return RangedFile(store, key)  # type: ignore[return-value]


def open_parquet(stream: IO[bytes], address: str) -> "pyarrow.parquet.ParquetFile":
    """Return the Parquet file in a stream. Raises DatasetError."""
    pyarrow = needed_pyarrow(address)
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(stream, pre_buffer=False)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DatasetError(f"{address} is no whole Parquet file: {error}") from error


def mark_of(stream: IO[bytes]) -> str:
    """Return what identifies the content of a file: the first digits of the sha256 of its size and end."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - END_BYTES))
    digest = hashlib.sha256(f"{size}\n".encode() + stream.read(END_BYTES)).hexdigest()
    stream.seek(0)
    return digest[:MARK_DIGITS]

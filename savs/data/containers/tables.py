"""Opens Parquet and Arrow files, in folders and buckets, through pyarrow."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from savs.errors import DatasetError, SettingsError
from savs.storage import Store, open_parent
from savs.storage.folder import LocalStore
from savs.storage.ranged import RangedFile

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

END_BYTES = 4096  # of a file, which identify it
MOST_END_BYTES = 2**28
PARQUET = b"PAR1"  # at the beginning and the end of Parquet
MARK_DIGITS = 8
ARROW_FILE = b"ARROW1"


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
    """Return what identifies the content of a file: the first digits of the sha256 of its size and end. Of
    Parquet that is all of its metadata, so that a file with the same mark is as sound."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - len(PARQUET) - 4))
    tail = stream.read(len(PARQUET) + 4)
    length = int.from_bytes(tail[:4], "little") + 8 if tail[4:] == PARQUET else 0
    length = min(max(length, END_BYTES), MOST_END_BYTES)
    stream.seek(max(0, size - length))
    digest = hashlib.sha256(f"{size}\n".encode() + stream.read(length)).hexdigest()
    stream.seek(0)
    return digest[:MARK_DIGITS]


def arrow_schema(stream: IO[bytes]) -> "pyarrow.Schema":
    """Return the schema of an Arrow file or an Arrow stream, which is read from its beginning."""
    from pyarrow import ipc

    return ipc.open_file(stream).schema if _is_file(stream) else ipc.read_schema(stream)


def arrow_batches(
    stream: IO[bytes], names: Sequence[str]
) -> "Iterator[tuple[int | None, pyarrow.RecordBatch]]":
    """Yield the batches of an Arrow file or stream, of the columns `names`, with their places, by which
    `arrow_batch` finds them; None if it cannot."""
    from pyarrow import ipc

    if _is_file(stream):
        reader = ipc.open_file(stream)
        for number in range(reader.num_record_batches):
            yield number, checked(reader.get_batch(number), names)
        return
    schema, end = ipc.read_schema(stream), stream.seek(0, 2)
    if any(_has_dictionary(field.type) for field in schema):
        stream.seek(0)
        yield from ((None, checked(batch, names)) for batch in ipc.open_stream(stream))
        return
    place = _after_schema(stream)
    while place < end and (message := _message(stream, place)) is not None:
        yield place, checked(ipc.read_record_batch(message, schema), names)
        place = stream.tell()


def arrow_batch(stream: IO[bytes], place: int, column: str) -> "pyarrow.RecordBatch":
    """Return one column of the batch at a place of an Arrow file or stream. Raises KeyError.

    column  with a level behind a dot, if only that is wanted
    """
    from pyarrow import ipc

    if _is_file(stream):
        batch = ipc.open_file(stream).get_batch(place)
    else:
        schema = ipc.read_schema(stream)
        if (message := _message(stream, place)) is None:
            raise IndexError(f"it has no batch at {place}")
        batch = ipc.read_record_batch(message, schema)
    return checked(batch, [name_of(column, batch.schema.names)])


def name_of(column: str, names: Sequence[str]) -> str:
    """Return the name of a column without the level behind the dot. A name may have dots of its own."""
    return column if column in names else column.partition(".")[0]


def checked(batch: "pyarrow.RecordBatch", names: Sequence[str]) -> "pyarrow.RecordBatch":
    """Return some columns of a batch, whose numbers are checked: they come from a stranger, and pyarrow reads
    where they point. Text that is not UTF-8 is let through. Raises ArrowInvalid."""
    import pyarrow

    chosen = batch.select(names)
    for column in chosen.columns:
        text = pyarrow.types.is_string(column.type)
        (column.view(pyarrow.binary()) if text else column).validate(full=True)
    return chosen


def _has_dictionary(kind: "pyarrow.DataType") -> bool:
    import pyarrow

    if pyarrow.types.is_dictionary(kind):
        return True
    nested = pyarrow.types.is_nested(kind)
    return nested and any(_has_dictionary(kind.field(place).type) for place in range(kind.num_fields))


def _is_file(stream: IO[bytes]) -> bool:
    """Return whether a stream holds an Arrow file. Leaves it at its beginning."""
    stream.seek(0)
    head = stream.read(len(ARROW_FILE))
    stream.seek(0)
    return head == ARROW_FILE


def _after_schema(stream: IO[bytes]) -> int:
    from pyarrow import ipc

    stream.seek(0)
    ipc.read_message(stream)
    return stream.tell()


def _message(stream: IO[bytes], place: int) -> "pyarrow.ipc.Message | None":
    """Return the message at a place; None at the end of the stream."""
    from pyarrow import ipc

    stream.seek(place)
    try:
        return ipc.read_message(stream)
    except EOFError:
        return None

"""What compressed files hold."""

import gzip
import io
import zlib
from typing import IO, Any

from savs.data.samples import PEEK_BYTES, head_of
from savs.errors import SettingsError

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class _Unpacked(io.RawIOBase):
    """What a compressed stream holds; whatever is wrong with it is an OSError."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self.stream.read(len(buffer))
        except (OSError, EOFError, ValueError, zlib.error) as error:  # pyarrow's are OSError and ValueError
            raise OSError(f"it cannot be unpacked ({error})") from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.stream.close()
        super().close()


def unpacked(stream: IO[bytes], address: str) -> IO[bytes]:
    """Return the stream of what a stream holds that is compressed, or the stream itself."""
    head = head_of(stream)
    if head.startswith(GZIP):
        return io.BufferedReader(_Unpacked(gzip.GzipFile(fileobj=stream)), PEEK_BYTES * 16)
    if not head.startswith(ZSTD):
        return stream
    try:
        import pyarrow
    except ImportError as error:
        raise SettingsError(
            f"{address} is compressed with zstd, which needs pyarrow: pip install 'savs[parquet]'"
        ) from error
    return io.BufferedReader(_Unpacked(pyarrow.CompressedInputStream(stream, "zstd")), PEEK_BYTES * 16)

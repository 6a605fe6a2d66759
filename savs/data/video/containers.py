"""Distinguishes a video file from a text file that refers to other files.

FFmpeg, which decord uses, ignores the suffix and checks the content: it plays a playlist (HLS, DASH,
ffconcat, SDP), and so would open any file or address that an untrusted client writes into one.
Only containers that hold their own frames are accepted.
"""

import re
from pathlib import Path

HEAD_BYTES = 512  # of a file, which are enough for all checks below
ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")  # first box of MP4, MOV, M4V
MAGIC = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"FLV\x01",
    b"OggS",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
)
# Where containers write the name of a video's codec: MP4's sample description, AVI's stream header, Matroska.
CODEC_NAME = re.compile(rb"stsd.{12}([ -~]{4})|strh.{4}vids([ -~]{4})|(V_[A-Z0-9/_]+)", re.DOTALL)
SCANNED_BYTES = 2**22  # at either end of a file; an MP4 may have its description at its end
SYNC, PACKET_BYTES = b"\x47", 188  # of an MPEG transport stream
TIMECODE_BYTES = 4  # before each packet in .m2ts files, as of camcorders


def holds_frames(head: bytes) -> bool:
    """Return whether a file that begins with `head` (its first HEAD_BYTES) is a container of frames."""
    return (
        head[4:8] in ISO_BOXES
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or head.startswith(MAGIC)
        or _is_transport_stream(head, PACKET_BYTES, 0)
        or _is_transport_stream(head, PACKET_BYTES + TIMECODE_BYTES, TIMECODE_BYTES)
    )


def _is_transport_stream(head: bytes, packet: int, start: int) -> bool:
    return head[start : start + 1] == head[start + packet : start + packet + 1] == SYNC


def codec_name(path: Path) -> str:
    """Return a container's name of its video's codec, such as "avc1"; "unknown" if none is found."""
    with path.open("rb") as stream:
        head = stream.read(SCANNED_BYTES)
        stream.seek(max(0, path.stat().st_size - SCANNED_BYTES))
        found = CODEC_NAME.search(head) or CODEC_NAME.search(stream.read(SCANNED_BYTES))
    return next(name for name in found.groups() if name).decode("ascii").strip() if found else "unknown"

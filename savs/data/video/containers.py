"""Distinguishes a video file from a text file that refers to other files.

FFmpeg, which decord uses, ignores the suffix and checks the content: it plays a playlist (HLS, DASH,
ffconcat, SDP), and so would open any file or address that an untrusted client writes into one.
Only containers that hold their own frames are accepted.
"""

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
SYNC, PACKET_BYTES = b"\x47", 188  # of an MPEG transport stream


def holds_frames(head: bytes) -> bool:
    """Return whether a file that begins with `head` (its first HEAD_BYTES) is a container of frames."""
    return (
        head[4:8] in ISO_BOXES
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or head.startswith(MAGIC)
        or (head[:1] == SYNC and head[PACKET_BYTES : PACKET_BYTES + 1] == SYNC)
    )

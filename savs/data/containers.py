"""Tells a video file from a text that names other files.

FFmpeg, which decord is made of, looks at the content: behind any suffix it plays a playlist (HLS,
DASH, ffconcat, SDP), and so would open whatever files and addresses a stranger writes into one.
Only containers that hold their own frames are let through.
"""

HEAD_BYTES = 512  # of a file, in which all that follows shows
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
    """Whether a file that begins with `head` (its first HEAD_BYTES) is a container of frames."""
    return (
        head[4:8] in ISO_BOXES
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or head.startswith(MAGIC)
        or (head[:1] == SYNC and head[PACKET_BYTES : PACKET_BYTES + 1] == SYNC)
    )

"""JPEG files: their header read by hand, and the picture decoded strictly.

Strict libjpeg-turbo notices damage that other decoders show as a grey or garbled picture. It also refuses slips of some
cameras and programs that say nothing of the picture, so a file it refuses is tried again without them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from fashionsearch.images.content import UnreadableError
from fashionsearch.images.exif import orientation_of

_MAX_SEGMENTS = 5_000
_SMALL = 2**16
_USUAL_SCANS, _MAX_SCANS = 10, 100
_MAX_SCANNED = 2_000_000_000  # pixels times scans: some seconds of work
_SOI, _SOS, _SOF0, _SOF1, _APP0, _APP1 = 0xD8, 0xDA, 0xC0, 0xC1, 0xE0, 0xE1
_BESIDE_THE_PICTURE = {
    *range(0xE1, 0xEE),
    0xEF,
    0xFE,
}  # all but JFIF's and Adobe's, which say what the colours are
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers that no content follows
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # in a scan: what is no part of its data


class Segment(NamedTuple):
    """A part of the header: its marker, and where its content begins and ends."""

    marker: int
    start: int
    end: int


def segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments of a header, the last being that of the first scan; stray bytes between them are passed over.

    Raises:
        UnreadableError: if there are thousands.
    """
    position = 2
    for _ in range(_MAX_SEGMENTS):
        position = data.find(b"\xff", position)
        while position >= 0 and data[position + 1 : position + 2] in (b"\xff", b"\0"):
            position = data.find(b"\xff", position + 1)
        if position < 0 or position + 4 > len(data):
            return
        marker = data[position + 1]
        if marker in _ALONE:
            position += 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        yield Segment(marker, position + 4, position + 2 + length)
        if marker == _SOS or length < 2:
            return
        position += 2 + length
    raise UnreadableError(f"has more than {_MAX_SEGMENTS:,} segments before its picture")


def orientation(data: bytes) -> int:
    """Return the EXIF orientation, or 1."""
    if len(data) < _SMALL and b"Exif\0\0" not in data:  # for thumbnails the walk costs more than a look
        return 1
    for marker, start, end in segments(data):
        if marker == _APP1 and data[start : start + 6] == b"Exif\0\0":
            return orientation_of(data[start + 6 : end])
    return 1


def check_scans(data: bytes, width: int, height: int) -> None:
    """Raise UnreadableError if a small file would take minutes, its picture being sent in hundreds of passes."""
    count = data.count(b"\xff\xda")
    if count <= _USUAL_SCANS:
        return
    allowed = max(_USUAL_SCANS, min(_MAX_SCANS, _MAX_SCANNED // max(1, width * height)))
    if count <= allowed:
        return
    # Some of these may lie in previews, or in what phones append behind the picture.
    position = max(segment.start for segment in segments(data)) - 4
    scans = passed = 0
    while (match := _MARKER.search(data, position)) and match[0] != b"\xff\xd9":
        scans, passed = scans + (match[0] == b"\xff\xda"), passed + 1
        if scans > allowed or passed > _MAX_SEGMENTS:
            raise UnreadableError(f"comes in more than {allowed} scans; save it as a JPEG again")
        position = match.end() + int.from_bytes(data[match.end() : match.end() + 2], "big")


def decode(data: bytes, **scaling: float) -> NDArray[np.uint8]:
    """Decode to (H, W, 3) uint8 RGB, not turned.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        return _strict(data, scaling)
    except ValueError:
        tidy = _without_slips(data)
        if tidy == data:
            raise
        return _strict(tidy, scaling)


def _strict(data: bytes, scaling: dict[str, float]) -> NDArray[np.uint8]:
    rgb: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True, **scaling)
    return rgb


def _without_slips(data: bytes) -> bytes:
    """Return the file without stray bytes, profiles and comments, with a known JFIF version and a plain scan's parameters."""
    parts, end, sequential = [data[:2]], 2, False
    for marker, start, stop in segments(data):
        content, end = data[start:stop], stop
        if marker in _BESIDE_THE_PICTURE:
            continue
        if marker == _APP0 and content[:5] == b"JFIF\0":
            content = content[:5] + b"\1\1" + content[7:]
        sequential |= marker in (_SOF0, _SOF1)
        if marker == _SOS and sequential:
            content = content[:-3] + b"\0\x3f\0"
        parts.append(data[start - 4 : start] + content)
    return b"".join(parts) + data[end:]

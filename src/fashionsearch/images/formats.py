"""The formats that are read, told by a file's first bytes, and what each needs looked at before Pillow decodes it."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import struct
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from fashionsearch.images.content import UnreadableError

if TYPE_CHECKING:
    import PIL.ImageFile

    Opener = Callable[[io.BytesIO, str], PIL.ImageFile.ImageFile]

# Found here because `PIL.Image.open` warns of sizes that are errors here, and tries forty formats.
_FORMATS = {
    rb"\x89PNG\r\n\x1a\n": "Png",
    rb"RIFF....WEBP": "WebP",
    rb"GIF8[79]a": "Gif",
    rb"BM": "Bmp",
    rb"II[*+]\0|MM\0[*+]": "Tiff",
}
_JPEG = b"\xff\xd8\xff"
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_TIFF = {
    b"II*\0": "<",
    b"MM\0*": ">",
    b"II+\0": "<",
    b"MM\0+": ">",
}  # the order of bytes; with a + numbers are longer
_BYTES_OF_TYPES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}  # the others have one
_COMPRESSION, _PHOTOMETRIC, _PLANAR = 259, 262, 284  # tags of a TIFF


def is_jpeg(data: bytes) -> bool:
    """Return whether a file begins as a JPEG does."""
    return data.startswith(_JPEG)


def opener(data: bytes) -> Opener:
    """Return what opens a file of any format but JPEG.

    Raises:
        UnreadableError: if nothing does, with the reason.
    """
    for magic, name in _FORMATS.items():
        if re.match(magic, data, re.DOTALL):
            return plugin(name)
    brands = _brands(data)
    if brands & _AVIF and _reads_avif():
        return plugin("Avif")
    if brands & _HEIC:
        raise UnreadableError(
            "is a HEIC photo, which Pillow doesn't read; save it as a JPEG, or open it with the package pillow-heif and "
            "give the PIL image"
        )
    if brands & _AVIF:
        raise UnreadableError(
            "is an AVIF image, which the Pillow that is installed doesn't read; upgrade pillow"
        )
    raise UnreadableError("is not a JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF image")


def plugin(name: str) -> Opener:
    """Return what of Pillow opens a format, imported when a file of it comes: most photos are JPEGs, and need none."""
    module = importlib.import_module(f"PIL.{name}ImagePlugin")
    return cast("Opener", getattr(module, f"{name}ImageFile"))


def _reads_avif() -> bool:
    try:
        from PIL import AvifImagePlugin
    except ImportError:  # Pillow before 11.3
        return False
    return AvifImagePlugin.SUPPORTED


def _brands(data: bytes) -> set[bytes]:
    """Return what a file of the ISO family says it is compatible with: AVIF and HEIC are such."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), 256)
    return {data[start : start + 4] for start in (8, *range(16, end, 4))}


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) of a WebP, whose decoder asks for the memory as soon as it is made; None for other files."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(data) >= 30:
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def check_tags(data: bytes) -> None:
    """Raise UnreadableError for a TIFF whose tags have more bytes than the file: Pillow before 13 copies them all."""
    order = _TIFF.get(data[:4])
    if order is None:
        return
    place, count, entry = ("Q", "Q", "HHQ8s") if b"+" in data[2:4] else ("I", "H", "HHI4s")
    size, total = struct.calcsize(f"{order}{entry}"), 0
    with contextlib.suppress(struct.error):  # what is cut off is Pillow's to tell
        (start,) = struct.unpack_from(f"{order}{place}", data, 8 if place == "Q" else 4)
        (entries,) = struct.unpack_from(f"{order}{count}", data, start)
        start += struct.calcsize(f"{order}{count}")
        for number in range(entries):
            _, kind, values, _ = struct.unpack_from(f"{order}{entry}", data, start + number * size)
            total += values * _BYTES_OF_TYPES.get(kind, 1)
            if total > len(data):
                raise UnreadableError("is a TIFF whose tags claim more bytes than it has; save it as a PNG")


def check_tiff(image: Any) -> None:
    """Raise UnreadableError for an opened TIFF that Pillow reads with wrong values."""
    tags = image.tag_v2
    apart = tags.get(_PLANAR) == 2 and len(image.getbands()) > 1
    if apart and (image.mode == "LA" or (max(tags.get(258, (8,))) > 8 and tags.get(_COMPRESSION, 1) == 1)):
        raise UnreadableError(
            "is a TIFF whose channels are stored apart, which can't be read; save it as a PNG"
        )
    if image.mode in ("I", "F") and tags.prefix == b"MM" and tags.get(_COMPRESSION, 1) != 1:
        raise UnreadableError(
            "is a big-endian TIFF of 32 bits, compressed, which can't be read; save it as a PNG"
        )


def is_white_zero(image: Any) -> bool:
    """Return whether an opened image is a TIFF in which 0 is white."""
    return is_tiff(image) and image.tag_v2.get(_PHOTOMETRIC) == 0


def is_tiff(image: object) -> bool:
    """Return whether an image is a TIFF that Pillow has opened, without importing what opens it."""
    module = sys.modules.get("PIL.TiffImagePlugin")  # none is opened before
    return module is not None and isinstance(image, module.TiffImageFile)

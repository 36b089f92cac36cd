"""A client's photo: bytes, never a path, whose size is looked at before anything is decoded."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fashionsearch import errors
from fashionsearch.files import read_regular
from fashionsearch.images import cut, named, read_image
from fashionsearch.images.decoding import RGB, size_of
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.index.photos import Photos
from fashionsearch.service.failures import RefusedError

SMALL = 300_000  # pixels that are decoded in less time than another thread takes to be asked
_MOST_SHOWN = 32 * 2**20  # bytes of a photo that is shown
_TYPES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
)


def checked_size(data: bytes, most: int) -> int:
    """Return how many pixels a photo has, by its header.

    Raises:
        ImageError: if it is no photo.
        RefusedError: if it has more than `most`; 422.
    """
    with named(0, data):
        width, height = size_of(data)
    if width * height > most:
        raise RefusedError(
            422, f"the photo has {width}×{height} pixels, and at most {most:,} are read; give a smaller copy"
        )
    return width * height


def prepared(data: bytes, region: Sequence[float] | None, preprocess: Preprocess | None) -> RGB:
    """Return a photo, or a region of it, as a network wants it: (H, W, 3) uint8; (h, w, 3) where nothing says what it wants.

    Raises:
        ImageError: if it can't be decoded.
        InputError: if the region can't be used.
    """
    if region is None:
        return read_image(data) if preprocess is None else preprocess.read(data)
    part = cut(data, region)
    return part if preprocess is None else preprocess.resized(part)


def prepared_aside(data: bytes, region: Sequence[float] | None, preprocess: Preprocess | None) -> RGB:
    """Return what `prepared` does of a large photo, and give back to the system what that took."""
    try:
        return prepared(data, region, preprocess)
    finally:
        # The C library keeps blocks of this size for the next photo, which may not come.
        with contextlib.suppress(AttributeError, OSError):  # other libraries than glibc
            ctypes.CDLL(None).malloc_trim(0)


def preprocess_of(encoder: Any) -> Preprocess | None:
    """Return how an encoder wants its photos, where it says so."""
    found = getattr(getattr(encoder, "backbone_", encoder), "preprocess", None)
    return found if isinstance(found, Preprocess) else None


def shown(folder: Path, item: str | int, source: str | None) -> tuple[bytes, str]:
    """Return the photo of an item as it lies in a folder, and its type.

    Raises:
        RefusedError: if it isn't in the folder, or no photo that a browser shows; 404.
    """
    missing = RefusedError(404, "the catalogue shows no photo of this item")
    try:
        path = Photos(folder).find(item, source).resolve()
        # A link in the folder may lead out of it.
        if not path.is_relative_to(folder.resolve()):
            raise missing
        data = read_regular(path, _MOST_SHOWN)
    except (LookupError, OSError, ValueError, errors.FashionSearchError):
        raise missing from None
    kind = next((kind for magic, kind in _TYPES if data.startswith(magic)), None)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "image/webp"
    if data[4:12] == b"ftypavif":
        kind = "image/avif"
    if kind is None:
        raise missing
    return data, kind

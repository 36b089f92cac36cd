"""The one EXIF field that changes a picture, read by hand: Pillow warns of a damaged block or fails at it."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
from numpy.typing import NDArray

_ORIENTATION = 0x0112


def orientation_of(block: bytes) -> int:
    """Return the orientation, 1 to 8, of an EXIF block, with or without its "Exif" in front; 1 where it has none."""
    tiff = block.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    with contextlib.suppress(struct.error):
        start = struct.unpack_from(f"{order}I", tiff, 4)[0] if order else len(tiff)
        for entry in range(struct.unpack_from(f"{order}H", tiff, start)[0]):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return int(value)
    return 1


def upright(rgb: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn and mirror a picture as its orientation says; an unknown one is as 1."""
    if orientation in (5, 6, 7, 8):
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)

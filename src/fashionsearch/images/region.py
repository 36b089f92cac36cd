"""A part of a photo, by shares of its sides."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fashionsearch import errors
from fashionsearch.images.decoding import RGB, Image
from fashionsearch.images.inputs import read_image


def cut(image: Image, region: Sequence[float], *, position: int = 0) -> RGB:
    """Return the part of an image that a region names.

    Args:
        image: a photo in any form.
        region: (left, top, right, bottom) as shares of its width and height, from 0 to 1.
        position: the place to name in an error.

    Returns:
        (h, w, 3) uint8, at least one pixel.

    Raises:
        InputError: if the region is no such four numbers, lies outside the photo, or has no area.
        ImageError: if the photo can't be read.

    Examples:
        >>> import numpy as np
        >>> cut(np.zeros((10, 20, 3), np.uint8), (0.5, 0, 1, 0.5)).shape
        (5, 10, 3)
    """
    left, top, right, bottom = check_region(region)
    pixels = read_image(image, position=position)
    height, width = pixels.shape[:2]
    first_row, first_column = (
        min(math.floor(share * side), side - 1) for share, side in ((top, height), (left, width))
    )
    last_row, last_column = math.ceil(bottom * height), math.ceil(right * width)
    return pixels[first_row:last_row, first_column:last_column].copy()


def check_region(region: object) -> tuple[float, float, float, float]:
    """Return a region's four numbers, or raise InputError."""
    try:
        left, top, right, bottom = (float(share) for share in region)  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise errors.InputError(
            f"region={region!r} is not four numbers; give (left, top, right, bottom) as shares from 0 to 1"
        ) from error
    if not (0 <= left <= 1 and 0 <= top <= 1 and 0 <= right <= 1 and 0 <= bottom <= 1):
        raise errors.InputError(
            f"region={region!r} lies outside the photo; its numbers are shares of the width and height, from 0 to 1"
        )
    if left >= right or top >= bottom:
        raise errors.InputError(
            f"region={region!r} has no area; left must be smaller than right, and top than bottom"
        )
    return left, top, right, bottom

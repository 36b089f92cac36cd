"""What is seen of each photo without a network: its pixels' digest, a thumbnail, how sharp it is and how full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.embedding import progress_bar
from fashionsearch.images import ordered_map, pixels_digest, read_image
from fashionsearch.images.decoding import Image
from fashionsearch.results import Broken

_THUMBNAIL, _MEASURED = (
    16,
    128,
)  # pixels: of a thumbnail's sides, and of the longer side that sharpness is measured at
_LEAST_SIDE = 16
_LEAST_SPREAD = (
    3.0  # standard deviation of grey levels; among 12,000 photos of a shop one in a thousand is below 6
)
_BLURRED = (
    1 / 6
)  # of the usual sharpness; a blur by 2 pixels of 80 leaves a seventh, the least sharp photo has a third
_STRANGE = 1 / 2  # of the usual likeness; among 12,000 photos of a shop one is below
_FEW = 20  # photos, of which nothing is usual


@dataclass(frozen=True, eq=False)
class Look:
    """What is seen of one photo.

    Attributes:
        digest: 8 bytes, the same for the same pixels.
        side: of the shorter side, in pixels.
        spread: the standard deviation of its grey levels, in [0, 128].
        sharpness: the mean step between pixels over the spread, at a longer side of at most 128 pixels.
        thumbnail: (768,) uint8, 16×16 pixels.
    """

    digest: bytes
    side: int
    spread: float
    sharpness: float
    thumbnail: NDArray[np.uint8]


def look_at(
    images: Sequence[Image], *, progress: bool
) -> tuple[list[int], list[Look], list[errors.ImageFailure]]:
    """Return which images can be read, what is seen of each of these, and why the others can't be read."""
    rows, looks, failures = [], [], []
    with progress_bar(len(images), "looking at photos", "photo", shown=progress) as advance:
        for row, seen in enumerate(ordered_map(_look, enumerate(images))):
            if isinstance(seen, errors.ImageFailure):
                failures.append(seen)
            else:
                rows.append(row)
                looks.append(seen)
            advance(1)
    return rows, looks, failures


def _look(numbered: tuple[int, Image]) -> Look | errors.ImageFailure:
    position, image = numbered
    try:
        pixels = read_image(image, position=position)
    except errors.ImageError as error:
        return error.failures[0]
    picture = PIL.Image.fromarray(pixels)
    small = picture.resize((_THUMBNAIL, _THUMBNAIL), PIL.Image.Resampling.BOX)
    return Look(
        pixels_digest(pixels),
        min(pixels.shape[:2]),
        *_spread_and_sharpness(picture),
        np.asarray(small).ravel(),
    )


def _spread_and_sharpness(picture: PIL.Image.Image) -> tuple[float, float]:
    picture = picture.convert("L")
    picture.thumbnail((_MEASURED, _MEASURED))
    grey: NDArray[np.float32] = np.asarray(picture, dtype=np.float32)
    spread = float(grey.std())
    if min(grey.shape) < 3:
        return spread, 0.0
    centre = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return spread, float(np.abs(4 * centre - around).mean()) / max(spread, 1e-3)


def broken_photos(
    rows: Sequence[int],
    looks: Sequence[Look],
    failures: Sequence[errors.ImageFailure],
    likeness: NDArray[np.float64],
    sources: NDArray[np.object_],
) -> list[Broken]:
    """Return photos that can't be read, or are tiny, empty, blurred or unlike all others; each is named once.

    Args:
        rows: of the m photos that can be read.
        looks: of these.
        failures: photos that can't be read.
        likeness: (m,) the mean cosine of each photo with its nearest others; empty where there are too few.
        sources: (n,) of all photos.
    """
    found = [
        Broken(each.position, sources[each.position], f"Can't be read: {each.reason}", 1.0)
        for each in failures
    ]
    if not looks:
        return found
    usual = len(looks) >= _FEW
    side = max(_LEAST_SIDE, float(np.median([each.side for each in looks])) / 4)
    sharpness = _BLURRED * float(np.median([each.sharpness for each in looks])) if usual else 0.0
    strange = _STRANGE * float(np.median(likeness)) if usual and len(likeness) else 0.0
    for place, (row, look) in enumerate(zip(rows, looks, strict=True)):
        bounds = (
            ("Nearly one colour", look.spread, _LEAST_SPREAD),
            ("Tiny", float(look.side), side),
            ("Blurred", look.sharpness, sharpness),
            ("Unlike all others", max(0.0, float(likeness[place])) if len(likeness) else 1.0, strange),
        )
        below = [(1 - value / bound, reason) for reason, value, bound in bounds if value < bound]
        if below:
            reason = below[0][1]
            words = f"Tiny: {look.side} pixels" if reason == "Tiny" else reason
            found.append(Broken(row, sources[row], words, 0.5 + below[0][0] / 2))
    return sorted(found, key=lambda each: -each.score)


def thumbnails_of(looks: Sequence[Look]) -> NDArray[np.float32]:
    """Return (m, 768) float32 in [0, 255]."""
    return np.array([each.thumbnail for each in looks], dtype=np.float32)


def copies_of(looks: Sequence[Look]) -> NDArray[np.intp]:
    """Return (m,) numbers, the same for photos of the same pixels."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(look.digest, len(numbers)) for look in looks], dtype=np.intp)

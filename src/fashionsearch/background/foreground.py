"""What a photo shows, told from what lies behind it, and laid on white as a catalogue would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fashionsearch.images.decoding import RGB

Look: TypeAlias = Callable[[RGB, int], NDArray[np.float32]]
Kept: TypeAlias = "NDArray[np.bool_]"
Box: TypeAlias = tuple[int, int, int, int]

LONGEST = 512  # pixels of the longer side that are looked at: encoders look at fewer
_EVEN, _PLAIN = (
    6,
    0.8,
)  # of 255 and of 1: so much of the border must be so near one colour, or the ground isn't plain
_LIKE = 20  # of 255: how far from that colour plain ground may be elsewhere
_SPECK = 0.02  # of the largest part: what is smaller is dust on plain ground
_SIDE = 224  # pixels of a side that the network looks at; time goes by the square
_HALF = 0.5
_PART = 0.25  # of the largest part: what is smaller isn't kept
_SEAM = 0.012  # of the subject's longer side
_LEAST, _MOST = 0.01, 0.9  # of the photo, for a subject
_DOUBT = 0.5  # of the subject's area may be pixels that could be either
_UNSURE = (0.2, 0.8)
_SIDES = 3  # of the photo that a subject may reach, most of each
_REACHED = 0.5
_ASPECT, _MARGIN = (
    0.75,
    0.04,
)  # width by height of the page that a subject is laid on, and its white around it
_WHITE = 255


@dataclass(frozen=True, eq=False)
class Subject:
    """What a photo shows, alone.

    Attributes:
        pixels: (h, w, 3) uint8, on white, of one layout.
        was_plain: whether the photo had plain ground, of which its border is made.
    """

    pixels: RGB
    was_plain: bool


def subject(pixels: RGB, look: Look) -> Subject | None:
    """Return what a photo shows, or None where that can't be told.

    Ground of one colour that reaches the border is recognised by itself. Else a network tells what stands out. That is not
    relied on where it is tiny or all of the photo, runs out of the photo all around, or is vague.

    Args:
        pixels: (H, W, 3) uint8.
        look: maps a photo and the side at which it is looked at to each pixel's chance to be subject, (side, side) in [0, 1];
            it is called only for ground that isn't plain.
    """
    pixels = _small(pixels)
    kept = _off_plain_ground(pixels)
    if kept is not None:
        return _laid(pixels, kept, kept.astype(np.float32), was_plain=True) if kept.any() else None
    from scipy import ndimage  # here, since most indexes never look

    chances = _resized(look(pixels, _SIDE), pixels.shape)
    kept = _main_parts(chances > _HALF)
    if not _is_reliable(kept, chances):
        return None
    kept = _without_seam(kept)
    return _laid(pixels, kept, ndimage.gaussian_filter(kept.astype(np.float32), 1), was_plain=False)


def _small(pixels: RGB) -> RGB:
    height, width = pixels.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BICUBIC))


def _off_plain_ground(pixels: RGB) -> Kept | None:
    """Return (H, W) bool, False where one colour reaches the border, or None where the border has many."""
    from scipy import ndimage

    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).astype(np.int16)
    colour = np.median(border, axis=0)
    if (np.abs(border - colour) <= _EVEN).all(axis=1).mean() < _PLAIN:
        return None
    regions, n = ndimage.label((np.abs(pixels.astype(np.int16) - colour) <= _LIKE).all(axis=2))
    edge = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    is_ground = np.zeros(n + 1, bool)
    is_ground[edge[edge > 0]] = True
    return _main_parts(~is_ground[regions], _SPECK)


def _resized(chances: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    picture = PIL.Image.fromarray(chances)
    return np.asarray(picture.resize((shape[1], shape[0]), PIL.Image.Resampling.BILINEAR))


def _main_parts(kept: Kept, least: float = _PART) -> Kept:
    """Return the largest part, and what of the others is not small beside it, such as the second shoe."""
    from scipy import ndimage

    regions, n = ndimage.label(kept)
    if n < 2:
        return kept
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    main: Kept = (sizes >= least * sizes.max())[regions]
    return main


def _box(kept: Kept) -> Box:
    """Return top, bottom, left and right of what is True."""
    rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _without_seam(kept: Kept) -> Kept:
    """Return a mask without its edge, where the ground shines through."""
    from scipy import ndimage

    top, bottom, left, right = _box(kept)
    width = max(1, round(_SEAM * max(bottom - top, right - left)))
    inner: Kept = ndimage.binary_erosion(kept, iterations=width, border_value=1)
    return inner if inner.any() else kept


def _is_reliable(kept: Kept, chances: NDArray[np.float32]) -> bool:
    """Return whether a mask is to be relied on."""
    share = float(kept.mean())
    doubtful = ((chances > _UNSURE[0]) & (chances < _UNSURE[1])).mean()
    reached = sum(side.mean() > _REACHED for side in (kept[0], kept[-1], kept[:, 0], kept[:, -1]))
    return bool(_LEAST <= share <= _MOST and doubtful <= _DOUBT * share and reached < _SIDES)


def _laid(pixels: RGB, kept: Kept, alpha: NDArray[np.float32], *, was_plain: bool) -> Subject:
    """Return a subject in the middle of a white page of one shape, which it fills but for a margin."""
    top, bottom, left, right = _box(kept)
    share = alpha[top:bottom, left:right, None]
    alone = np.rint(pixels[top:bottom, left:right] * share + _WHITE * (1 - share)).astype(np.uint8)
    height, width = alone.shape[:2]
    tall = max(height, width / _ASPECT) / (1 - 2 * _MARGIN)
    rows, columns = max(height, round(tall)), max(width, round(tall * _ASPECT))
    page = np.full((rows, columns, 3), _WHITE, np.uint8)
    down, across = (rows - height) // 2, (columns - width) // 2
    page[down : down + height, across : across + width] = alone
    return Subject(page, was_plain)

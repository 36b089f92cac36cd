"""What happens to a photo between the catalogue and the phone that photographs it: pure functions on pixels."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter
from scipy import ndimage

from fashionsearch.images import read_image

Pixels: TypeAlias = "npt.NDArray[np.uint8]"
Distortion: TypeAlias = "Callable[[Pixels, np.random.Generator], Pixels]"

_WHITE = 235  # what a catalogue's white background is at least, after JPEG


def crop(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """Keep a random window of 80 % of each side."""
    height, width = photo.shape[0] * 4 // 5, photo.shape[1] * 4 // 5
    top = int(rng.integers(photo.shape[0] - height + 1))
    left = int(rng.integers(photo.shape[1] - width + 1))
    return photo[top : top + height, left : left + width]


def rotate(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """Turn by 10 to 25 degrees either way; new corners are white."""
    degrees = float(rng.uniform(10, 25) * rng.choice([-1, 1]))
    turned = Image.fromarray(photo).rotate(
        degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=(255,) * 3
    )
    return np.asarray(turned)


def blur(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """Blur with a Gaussian whose radius is 2 % of the longer side."""
    return np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(0.02 * max(photo.shape[:2]))))


def colour_cast(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """Light it with warm or cold light: red and blue go 25 % apart, either way."""
    tilt = float(rng.choice([-0.125, 0.125]))
    light = np.array([1 + tilt, 1.0, 1 - tilt])
    lit: Pixels = np.clip(np.rint(photo * light), 0, 255).astype(np.uint8)
    return lit


def jpeg(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """Compress as a JPEG of quality 10."""
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=10)
    return np.asarray(Image.open(buffer))


def clutter(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """Put it before a cluttered background: white that reaches the border becomes coloured patches."""
    regions, _ = ndimage.label((photo >= _WHITE).all(axis=2))
    border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    background = np.isin(regions, border[border > 0])
    patches = Image.fromarray(rng.integers(40, 216, (7, 5, 3), dtype=np.uint8))
    height, width = photo.shape[:2]
    scene = np.asarray(patches.resize((width, height), Image.Resampling.NEAREST))
    return np.where(background[:, :, None], scene, photo)


DISTORTIONS: dict[str, Distortion] = {
    "crop": crop,
    "rotation": rotate,
    "blur": blur,
    "colour-cast": colour_cast,
    "jpeg": jpeg,
    "clutter": clutter,
}


def distorted(images: Sequence[Any], name: str, *, seed: int) -> list[Pixels]:
    """Return distorted copies of photos; each photo's change depends on the seed and its place alone.

    Returns:
        n arrays (H, W, 3) uint8, each of its own size.
    """
    change = DISTORTIONS[name]
    return [
        np.ascontiguousarray(change(read_image(image), np.random.default_rng([seed, place])))
        for place, image in enumerate(images)
    ]

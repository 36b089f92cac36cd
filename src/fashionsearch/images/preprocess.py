"""`Preprocess`: how one backbone wants its images, kept with every saved model and index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.images import read_image
from fashionsearch.images.decoding import RGB, Image
from fashionsearch.results import ShowsFields

_INTERPOLATIONS = {
    "nearest": PIL.Image.Resampling.NEAREST,
    "bilinear": PIL.Image.Resampling.BILINEAR,
    "bicubic": PIL.Image.Resampling.BICUBIC,
    "lanczos": PIL.Image.Resampling.LANCZOS,
}
_RESIZES = ("squash", "pad", "crop")
_LARGEST = 1e30  # of a mean or deviation of pixels in [0, 1]: far more than any, and float32 holds it


@dataclass(frozen=True)
class Preprocess(ShowsFields):
    """How a backbone wants its images: size, resizing and normalisation, frozen.

    Attributes:
        image_size: (height, width) in pixels.
        mean: per channel, subtracted from pixels in [0, 1].
        std: per channel, what the difference is divided by.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos", antialiased.
        resize: "squash" the whole photo to the size, "pad" it with white to keep its proportions, or "crop" its
            middle.

    Raises:
        InputError: if a value can't be used.

    Examples:
        >>> import numpy as np
        >>> preprocess = Preprocess(image_size=(224, 224))
        >>> preprocess(np.zeros((80, 60, 3), np.uint8)).shape
        (3, 224, 224)
    """

    image_size: tuple[int, int]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "bicubic"
    resize: str = "squash"

    def __post_init__(self) -> None:
        size = self.image_size
        if not _are(Integral, size, 2) or any(not 1 <= side <= 4096 for side in size):
            raise errors.InputError(
                f"image_size={size!r} is not (height, width) in pixels from 1 to 4096, for example (224, 224)"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if not _are(Real, values, 3) or not all(abs(value) < _LARGEST for value in values):
                raise errors.InputError(f"{name}={values!r} is not three finite numbers, one a channel")
            object.__setattr__(self, name, tuple(float(value) for value in values))
        # Lists and numpy numbers would make equal objects unequal and not fit in JSON.
        object.__setattr__(self, "image_size", tuple(int(side) for side in size))
        if min(self.std) <= 0:
            raise errors.InputError(f"std={self.std!r} must be positive")
        for name, value, known in (
            ("interpolation", self.interpolation, tuple(_INTERPOLATIONS)),
            ("resize", self.resize, _RESIZES),
        ):
            if value not in known:
                raise errors.InputError(
                    f"{name}={value!r} is not one of {', '.join(known)}.{errors.did_you_mean(value, known)}"
                )

    def resized(self, rgb: RGB) -> RGB:
        """Resize one (h, w, 3) uint8 image to (H, W, 3) uint8; normalisation is left to the batch."""
        height, width = self.image_size
        if rgb.shape[:2] == (height, width):
            return rgb
        method = _INTERPOLATIONS[self.interpolation]
        picture = PIL.Image.fromarray(rgb)
        if self.resize in ("pad", "crop"):
            from PIL import ImageOps

            if self.resize == "crop":
                return np.array(ImageOps.fit(picture, (width, height), method))
            reduction = max(picture.width / width, picture.height / height)
            inside = [max(1, round(side / reduction)) for side in picture.size]
            if 1 in inside:  # Pillow before 13 would come to no pixel at all
                picture = picture.resize((inside[0], inside[1]), method)
            return np.array(ImageOps.pad(picture, (width, height), method, color="white"))
        return np.array(picture.resize((width, height), method))

    def read(self, image: Image, *, position: int = 0) -> RGB:
        """Decode and resize one image of any form to (H, W, 3) uint8.

        Raises:
            ImageError: if it can't be read, naming its position.
        """
        return self.resized(read_image(image, position=position, at_least=self.image_size))

    def __call__(self, image: Image) -> NDArray[np.float32]:
        """Return one image as the network sees it: (3, H, W) float32.

        Raises:
            ImageError: if the image can't be read.
        """
        pixels = self.read(image).astype(np.float32) / np.float32(255)
        normal = (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(normal.transpose(2, 0, 1), dtype=np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Preprocess:
        """Return what `to_dict` wrote.

        Raises:
            InputError: if a field is missing or can't be used.
        """
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in saved]
        if missing:
            raise errors.InputError(f"the saved preprocessing lacks {', '.join(missing)}; save it again")
        return cls(**{name: saved[name] for name in names})


def _are(kind: type, values: object, count: int) -> bool:
    return (
        isinstance(values, tuple | list)
        and len(values) == count
        and all(isinstance(value, kind) and not isinstance(value, bool) for value in values)
    )

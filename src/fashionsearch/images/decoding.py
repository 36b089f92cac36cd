"""One image of any form, decoded to (H, W, 3) uint8 RGB, or the reason why it can't be.

The rules that decoders leave open are fixed: EXIF orientation is applied, transparency is laid on white,
16-bit values are scaled (not clipped), the first frame of an animation counts, and a damaged file is an error.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np
import PIL.Image
import PIL.ImageFile
import simplejpeg
from numpy.typing import NDArray

from fashionsearch.images import formats, jpeg
from fashionsearch.images.content import UnreadableError, alone, content, is_encoded, raise_if_of_this_machine
from fashionsearch.images.exif import orientation_of, upright

if TYPE_CHECKING:
    import torch

__all__ = [
    "RGB",
    "RULES",
    "Image",
    "UnreadableError",
    "content",
    "decode",
    "is_encoded",
    "is_tensor",
    "max_pixels",
    "size_of",
]

RGB: TypeAlias = NDArray[np.uint8]
Image: TypeAlias = (
    "str | os.PathLike[str] | bytes | IO[bytes] | PIL.Image.Image | NDArray[Any] | torch.Tensor"
)

ENVIRONMENT = "FASHIONSEARCH_MAX_PIXELS"
MAX_PIXELS = 50_000_000
JPEG_FACTOR = (
    4  # phones make JPEGs of 200 megapixels, and a JPEG costs less: it is scaled down while it is decoded
)
RULES = 3  # part of every cache's keys: another number when a file gives other pixels than before


def max_pixels() -> int:
    """Return how many pixels a file may have; a JPEG may have four times as many.

    It is 50 million, or what the environment variable `FASHIONSEARCH_MAX_PIXELS` says.
    """
    setting = os.environ.get(ENVIRONMENT)
    return int(setting) if setting and setting.isdecimal() else MAX_PIXELS


def is_tensor(value: object) -> bool:
    """Return whether a value is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")  # no tensor exists before torch is imported
    return torch is not None and isinstance(value, torch.Tensor)


def size_of(data: bytes) -> tuple[int, int]:
    """Return (width, height) of an encoded image by its header, without decoding it.

    Raises:
        UnreadableError: if it is no image, or its header is damaged.
    """
    if not data:
        raise UnreadableError("the file is empty")
    if formats.is_jpeg(data):
        with _damage_named():
            height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=False)
            return int(width), int(height)
    opener = formats.opener(data)
    if (size := formats.webp_size(data)) is not None:
        return size
    with _damage_named(), opener(io.BytesIO(data), "") as image:
        return image.size


def decode(image: Image, *, at_least: tuple[int, int] | None = None) -> RGB:
    """Decode one image of any form to (H, W, 3) uint8.

    Args:
        image: in any form.
        at_least: (height, width) that it will be made; a JPEG with four times its longer side or more is decoded at a half, a
            quarter or an eighth of its size, which leaves twice what is needed and takes a fraction of the time.

    Raises:
        UnreadableError: if it can't be; `images.named` adds which image it is.
    """
    if isinstance(image, PIL.Image.Image):
        # Two images may have been opened from one file object.
        with alone(getattr(image, "fp", None) or image), _damage_named():
            return _from_pillow(image)
    if isinstance(image, np.ndarray):
        return _from_array(image, "an (H, W, 3) or (H, W) array")
    if is_tensor(image):
        array = image.detach().cpu()  # type: ignore[union-attr]
        if array.ndim == 3:
            if array.shape[0] not in (1, 3, 4):
                raise UnreadableError("a tensor image is channel-first, (3, H, W); permute(2, 0, 1) it")
            array = array.permute(1, 2, 0)
        array = array.float() if array.is_floating_point() else array  # numpy has no bfloat16
        return _from_array(array.numpy(), "a (3, H, W) tensor")
    return _from_bytes(content(image), at_least)


def _from_bytes(data: bytes, at_least: tuple[int, int] | None) -> RGB:
    if formats.is_jpeg(data):
        with _damage_named():
            return _from_jpeg(data, at_least)
    opener = formats.opener(data)
    formats.check_tags(data)
    with _damage_named():
        if (size := formats.webp_size(data)) is not None:
            _check_size(*size)
        try:
            image = opener(io.BytesIO(data), "")
        except SyntaxError as error:
            if opener.__name__ == "TiffImageFile" and "unknown pixel mode" in str(error):
                raise UnreadableError(
                    "is a TIFF of a kind that Pillow doesn't read, such as colours of 32 bits; save it with 8 or 16 bits, or "
                    "give an array"
                ) from error
            raise
        with image:
            return _from_pillow(image)


def _from_jpeg(data: bytes, at_least: tuple[int, int] | None) -> RGB:
    height, width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    _check_size(width, height, JPEG_FACTOR)
    jpeg.check_scans(data, width, height)
    if colours in ("CMYK", "YCCK"):
        with formats.plugin("Jpeg")(io.BytesIO(data), "") as image:
            return _from_pillow(image)
    return upright(jpeg.decode(data, **_scaling(height, width, at_least)), jpeg.orientation(data))


def _scaling(height: int, width: int, at_least: tuple[int, int] | None) -> dict[str, float]:
    """Return how libjpeg may scale down: to twice what is needed, from where antialiasing differs little."""
    side = 2 * max(at_least or (0, 0))
    if not side or min(height, width) < 2 * side:
        return {}
    return {"min_height": side, "min_width": side, "min_factor": 2.0}


@contextlib.contextmanager
def _damage_named() -> Iterator[None]:
    try:
        yield
    except (UnreadableError, MemoryError, RecursionError):
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything, struct.error among it
        raise_if_of_this_machine(error)
        raise UnreadableError(f"is damaged: {str(error).strip() or type(error).__name__}") from error


def _check_size(width: int, height: int, factor: int = 1) -> None:
    most = factor * max_pixels()
    if width * height <= 0:
        raise UnreadableError(f"has {width}×{height} pixels; give one that has some")
    if width * height > most:
        raise UnreadableError(
            f"has {width}×{height} pixels, and at most {most:,} are read; give a smaller copy, or set {ENVIRONMENT}="
            f"{-(-width * height // factor)}"
        )


def _from_pillow(image: PIL.Image.Image) -> RGB:
    if isinstance(image, PIL.ImageFile.ImageFile):  # others are in memory already
        _check_size(*image.size, JPEG_FACTOR if image.format in ("JPEG", "MPO") else 1)
    if formats.is_tiff(image):
        formats.check_tiff(image)
    image.load()  # turns a TIFF upright, and finds the EXIF block at the end of a PNG
    exif = image.info.get("exif")
    orientation = orientation_of(exif) if isinstance(exif, bytes) else image.getexif().get(0x0112, 1)
    if image.mode.startswith("I") or image.mode == "F":
        return upright(_from_array(_wide_values(image), "a greyscale image"), orientation)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        white = PIL.Image.new("RGBA", image.size, "white")
        image = PIL.Image.alpha_composite(white, image.convert("RGBA"))
    return upright(np.array(image.convert("RGB")), orientation)


def _wide_values(image: PIL.Image.Image) -> NDArray[Any]:
    values = np.array(image)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if formats.is_white_zero(image):
        values = (1 if image.mode == "F" else 65535) - values
    if image.mode != "I":
        return values
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableError("has 32-bit values outside [0, 65535]; scale it to 8 or 16 bits")
    return values.astype(np.uint16)


def _from_array(array: NDArray[Any], form: str) -> RGB:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        hint = "; transpose(1, 2, 0) makes it fit" if array.ndim == 3 and array.shape[0] in (1, 3) else ""
        raise UnreadableError(f"has shape {array.shape}, and {form} is needed{hint}")
    if not array.size:
        raise UnreadableError(f"has shape {array.shape}, which holds no pixels")
    if array.dtype == np.bool_:
        values: RGB = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype == np.uint8:
        values = array
    elif array.dtype == np.uint16:
        values = np.round(array / 257.0).astype(np.uint8)
    elif array.dtype.kind == "f":
        low, high = float(np.min(array)), float(np.max(array))
        if not (low >= 0 and high <= 1):
            raise UnreadableError(
                f"has float values from {low:g} to {high:g}, and they must lie in [0, 1]; divide by 255, or give uint8"
            )
        values = np.round(array * 255.0).astype(np.uint8)
    else:
        raise UnreadableError(f"has dtype {array.dtype}; give uint8 in [0, 255] or float in [0, 1]")
    if values.ndim == 2 or values.shape[2] == 1:
        values = np.repeat(values.reshape(*values.shape[:2], 1), 3, axis=2)
    elif values.shape[2] == 4:
        return _from_pillow(PIL.Image.fromarray(np.ascontiguousarray(values)))
    return np.ascontiguousarray(values)

"""One image of any form, decoded to (H, W, 3) uint8 RGB, or the reason why it can't be.

The rules that decoders leave open are fixed: EXIF orientation is applied, transparency is laid on white,
16-bit values are scaled (not clipped), the first frame of an animation counts, and a damaged file is an error.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np
import PIL.Image
import PIL.ImageFile
import simplejpeg
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

if TYPE_CHECKING:
    import torch

RGB: TypeAlias = NDArray[np.uint8]
Image: TypeAlias = (
    "str | os.PathLike[str] | bytes | IO[bytes] | PIL.Image.Image | NDArray[Any] | torch.Tensor"
)

# Found here because `PIL.Image.open` warns of sizes that are errors here, and tries forty formats.
_FORMATS: dict[bytes, Callable[[io.BytesIO, str], PIL.ImageFile.ImageFile]] = {
    rb"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    rb"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    rb"RIFF....WEBP": WebPImagePlugin.WebPImageFile,
    rb"GIF8[79]a": GifImagePlugin.GifImageFile,
    rb"BM": BmpImagePlugin.BmpImageFile,
    rb"II[*+]\0|MM\0[*+]": TiffImagePlugin.TiffImageFile,
}
# One object given twice (a lazy PIL image, an open file) must not be read by two threads at once.
_lazy_sources = threading.Lock()
MAX_PIXELS = 89_478_485  # where Pillow begins to warn of a decompression bomb; here it is an error
MAX_BYTES = 512 * 2**20
RULES = 2  # part of every cache's keys: another number when a file gives other pixels than before


class UnreadableError(Exception):
    """Why one image can't be read; `named` adds which one it is."""


def is_tensor(value: object) -> bool:
    """Return whether a value is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")  # no tensor exists before torch is imported
    return torch is not None and isinstance(value, torch.Tensor)


def is_encoded(image: object) -> bool:
    """Return whether an image is a file of some kind: a path, bytes or a file object."""
    return isinstance(image, str | os.PathLike | bytes | bytearray | memoryview) or (
        hasattr(image, "read") and not isinstance(image, PIL.Image.Image)
    )


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
        with _lazy_sources, _damage_named():
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


def content(image: str | os.PathLike[str] | bytes | IO[bytes] | Any) -> bytes:
    """Return the encoded bytes of a path, bytes or file object, having checked that reading them is safe."""
    if isinstance(image, bytes | bytearray | memoryview):
        data = bytes(image)
    elif isinstance(image, str | os.PathLike):
        data = _file_content(image)
    elif hasattr(image, "read"):
        try:
            with _lazy_sources:
                if hasattr(image, "seekable") and image.seekable():
                    image.seek(0)
                data = image.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            raise UnreadableError(f"can't be read: {error}") from error
        if not isinstance(data, bytes):
            raise UnreadableError("the file object is open as text; open it with mode 'rb'")
    else:
        raise UnreadableError("is not an image; give a path, bytes, file, PIL image, array or tensor")
    if not data:
        raise UnreadableError("the file is empty")
    if len(data) > MAX_BYTES:
        raise UnreadableError(f"is larger than {MAX_BYTES // 2**20} MiB; give a smaller copy")
    return data


def _file_content(path: str | os.PathLike[str]) -> bytes:
    try:
        status = os.stat(path)  # noqa: PTH116 (an empty name is no file, and Path("") is a folder)
        # Opening a FIFO would wait for ever and a device may never end, so look before opening.
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableError("is a folder; list its files, or use fashionsearch.datasets.load_folder")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("is not a regular file (a FIFO, socket or device)")
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UnreadableError("there is no such file") from None
    except (OSError, ValueError) as error:
        raise UnreadableError(f"can't be opened: {getattr(error, 'strerror', None) or error}") from error


def _from_bytes(data: bytes, at_least: tuple[int, int] | None) -> RGB:
    reader = next((reader for magic, reader in _FORMATS.items() if re.match(magic, data, re.DOTALL)), None)
    if reader is None:
        raise UnreadableError("is not a JPEG, PNG, WebP, GIF, BMP or TIFF image")
    with _damage_named():
        if reader is JpegImagePlugin.JpegImageFile:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            _check_size(width, height)
            if colours not in ("CMYK", "YCCK"):
                # Strict libjpeg-turbo notices damage that Pillow shows as a grey or garbled picture.
                rgb = simplejpeg.decode_jpeg(
                    data, colorspace="RGB", strict=True, **_scaling(height, width, at_least)
                )
                return _upright(rgb, _exif_orientation(data[: 2**18]))
        with reader(io.BytesIO(data), "") as image:
            return _from_pillow(image)


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
    except UnreadableError:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything, struct.error among it
        raise UnreadableError(f"is damaged: {str(error).strip() or type(error).__name__}") from error


def _check_size(width: int, height: int) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise UnreadableError(f"has {width}×{height} pixels; give a copy that has 1 to {MAX_PIXELS:,}")


def _exif_orientation(data: bytes) -> int:
    # Pillow's reader warns of a damaged block or fails, and neither may cost a good photo.
    tiff = data.partition(b"Exif\0\0")[2] or data
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    with contextlib.suppress(struct.error):
        start = struct.unpack_from(f"{order}I", tiff, 4)[0] if order else len(tiff)
        for entry in range(struct.unpack_from(f"{order}H", tiff, start)[0]):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * entry)
            if tag == 0x0112:
                return int(value)
    return 1


def _upright(rgb: RGB, orientation: int) -> RGB:
    if orientation in (5, 6, 7, 8):
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)


def _from_pillow(image: PIL.Image.Image) -> RGB:
    _check_size(*image.size)
    image.load()  # turns a TIFF upright, and finds the EXIF block at the end of a PNG
    exif = image.info.get("exif")
    orientation = _exif_orientation(exif) if isinstance(exif, bytes) else image.getexif().get(0x0112, 1)
    if image.mode.startswith("I") or image.mode == "F":
        return _upright(_from_array(_wide_values(image), "a greyscale image"), orientation)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        white = PIL.Image.new("RGBA", image.size, "white")
        image = PIL.Image.alpha_composite(white, image.convert("RGBA"))
    return _upright(np.array(image.convert("RGB")), orientation)


def _wide_values(image: PIL.Image.Image) -> NDArray[Any]:
    values = np.array(image)
    if image.mode != "I":
        return values
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableError("has 32-bit values outside [0, 65535]; scale it to 8 or 16 bits")
    return values.astype(np.uint16)


def _from_array(array: NDArray[Any], form: str) -> RGB:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        hint = "; transpose(1, 2, 0) makes it fit" if array.ndim == 3 and array.shape[0] in (1, 3) else ""
        raise UnreadableError(f"has shape {array.shape}, and {form} is needed{hint}")
    _check_size(array.shape[1], array.shape[0])
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

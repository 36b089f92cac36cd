"""Anything a user calls an image becomes (H, W, 3) uint8 RGB here, and nowhere else.

The rules that decoders leave open are fixed: EXIF orientation is applied, transparency is laid on white,
16-bit values are scaled (not clipped), the first frame of an animation counts, and a damaged file is an error.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import re
import stat
import struct
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import PIL.Image
import simplejpeg
from numpy.typing import NDArray

from fashionsearch import errors

if TYPE_CHECKING:
    import torch

RGB: TypeAlias = NDArray[np.uint8]
Image: TypeAlias = (
    "str | os.PathLike[str] | bytes | IO[bytes] | PIL.Image.Image | NDArray[Any] | torch.Tensor"
)
Images: TypeAlias = "Image | Iterable[Image]"
Item = TypeVar("Item")
Result = TypeVar("Result")

# Found here because `PIL.Image.open` warns of sizes that are errors here, and tries forty formats.
_FORMATS = {
    rb"\xff\xd8\xff": "JPEG",
    rb"\x89PNG\r\n\x1a\n": "PNG",
    rb"RIFF....WEBP": "WEBP",
    rb"GIF8[79]a": "GIF",
    rb"BM": "BMP",
    rb"II[*+]\0|MM\0[*+]": "TIFF",
}
PIL.Image.init()
MAX_PIXELS = 89_478_485  # where Pillow begins to warn of a decompression bomb; here it is an error
MAX_BYTES = 512 * 2**20
WORKERS = min(8, os.cpu_count() or 1)


class ImageCheck(NamedTuple):
    """What `check_images` found.

    Attributes:
        positions: (m,) int64, the places of the images that can be read, in order.
        failures: one `ImageFailure` (position, source, reason) for each that can't.
    """

    positions: NDArray[np.int64]
    failures: tuple[errors.ImageFailure, ...]


def check_images(images: Images) -> ImageCheck:
    """Decode every image once and say which can be read, and why each of the others can't.

    Args:
        images: any form of images (paths, bytes, files, PIL images, arrays, tensors, batches or mixtures).

    Returns:
        `ImageCheck(positions, failures)`.

    Raises:
        InputError: if `images` isn't an image or an iterable of images at all.

    Example:
        >>> import numpy as np
        >>> positions, failures = check_images([np.zeros((4, 4, 3), np.uint8), "nowhere.jpg"])
        >>> positions.tolist(), str(failures[0])
        ([0], 'image 1 (nowhere.jpg): there is no such file')
    """
    positions, failures = [], []
    for position, outcome in enumerate(ordered_map(_try_read, enumerate(iterate(images)))):
        if isinstance(outcome, errors.ImageFailure):
            failures.append(outcome)
        else:
            positions.append(position)
    return ImageCheck(np.array(positions, dtype=np.int64), tuple(failures))


def _try_read(numbered: tuple[int, Image]) -> errors.ImageFailure | None:
    position, image = numbered
    try:
        read_image(image, position=position)
    except errors.ImageError as error:
        return error.failures[0]
    return None


def iterate(images: Images) -> Iterator[Image]:
    """Yield single images from one image, a 4-D batch, or any iterable of images and batches.

    Raises:
        InputError: if `images` is none of these.
    """
    if _is_single(images):
        yield images  # type: ignore[misc]
    elif isinstance(images, Iterable) and not isinstance(images, dict):
        for image in images:
            yield from image if _is_batch(image) else (image,)  # type: ignore[misc]
    else:
        raise errors.InputError(
            f"{_describe(images)} is not an image; give a path, bytes, a file object, a PIL image, an (H, W, 3) array, "
            "a (3, H, W) tensor, a 4-D batch, or an iterable of them"
        )


def count(images: Images) -> int | None:
    """Return the number of images where it is known without reading an iterator."""
    if _is_single(images):
        return 1
    if isinstance(images, list | tuple):
        return sum(len(image) if _is_batch(image) else 1 for image in images)
    return len(images) if hasattr(images, "__len__") else None  # type: ignore[arg-type]


def source_of(image: object) -> str | None:
    """Return the path an image is given by, or None for one that has none."""
    return os.fspath(image) if isinstance(image, str | os.PathLike) else None


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")  # no tensor exists before torch is imported
    return torch is not None and isinstance(value, torch.Tensor)


def _is_batch(value: object) -> bool:
    return (isinstance(value, np.ndarray) or _is_tensor(value)) and value.ndim == 4  # type: ignore[attr-defined]


def _is_single(value: object) -> bool:
    if is_encoded(value) or isinstance(value, PIL.Image.Image):
        return True
    if isinstance(value, np.ndarray):
        return value.ndim == 0 or (value.dtype.kind not in "OUS" and value.ndim != 4)
    return _is_tensor(value) and value.ndim != 4  # type: ignore[attr-defined]


def _describe(image: object) -> str:
    if isinstance(image, str | os.PathLike):
        return os.fspath(image)
    if isinstance(image, np.ndarray) or _is_tensor(image):
        kind = "tensor" if _is_tensor(image) else "array"
        return f"{kind} of shape {tuple(image.shape)} and dtype {image.dtype}"  # type: ignore[attr-defined]
    if isinstance(image, bytes | bytearray | memoryview):
        return f"{len(image)} bytes"
    if isinstance(image, PIL.Image.Image):
        return f"PIL image of mode {image.mode} and size {image.size[0]}×{image.size[1]}"
    return f"a value of type {type(image).__name__}"


class UnreadableError(Exception):
    """Why one image can't be read; `named` adds which one it is."""


@contextlib.contextmanager
def named(position: int, image: Image) -> Iterator[None]:
    """Turn an `UnreadableError` inside the block into an `ImageError` that names the image and its position."""
    try:
        yield
    except UnreadableError as error:
        raise errors.ImageError([errors.ImageFailure(position, _describe(image), str(error))]) from error


def read_image(image: Image, *, position: int = 0) -> RGB:
    """Decode one image of any form to RGB.

    Args:
        image: a path, bytes, file object (read from its start), PIL image, array (H, W, 3), (H, W, 4) or (H, W), or
            tensor (3, H, W) or (H, W); arrays and tensors are uint8, uint16 or float in [0, 1].
        position: the place to name in an error.

    Returns:
        (H, W, 3) uint8 array, EXIF orientation applied and transparency laid on white.

    Raises:
        ImageError: if it can't be read, is damaged, or is larger than `MAX_PIXELS`.

    Example:
        >>> import numpy as np
        >>> read_image(np.full((2, 5), 0.5)).shape
        (2, 5, 3)
    """
    with named(position, image):
        return decode(image)


def is_encoded(image: object) -> bool:
    """Return whether an image is a file of some kind: a path, bytes or a file object."""
    return isinstance(image, str | os.PathLike | bytes | bytearray | memoryview) or (
        hasattr(image, "read") and not isinstance(image, PIL.Image.Image)
    )


def decode(image: Image) -> RGB:
    """Decode one image as `read_image` does, raising `UnreadableError` without a name or position."""
    if isinstance(image, PIL.Image.Image):
        with _damage_named():
            return _from_pillow(image)
    if isinstance(image, np.ndarray):
        return _from_array(image, "an (H, W, 3) or (H, W) array")
    if _is_tensor(image):
        array = image.detach().cpu()  # type: ignore[union-attr]
        if array.ndim == 3:
            if array.shape[0] not in (1, 3, 4):
                raise UnreadableError("a tensor image is channel-first, (3, H, W); permute(2, 0, 1) it")
            array = array.permute(1, 2, 0)
        array = array.float() if array.is_floating_point() else array  # numpy has no bfloat16
        return _from_array(array.numpy(), "a (3, H, W) tensor")
    return _from_bytes(content(image))


def content(image: str | os.PathLike[str] | bytes | IO[bytes] | Any) -> bytes:
    """Return the encoded bytes of a path, bytes or file object, having checked that reading them is safe."""
    if isinstance(image, bytes | bytearray | memoryview):
        data = bytes(image)
    elif isinstance(image, str | os.PathLike):
        data = _file_content(image)
    elif hasattr(image, "read"):
        try:
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


def _from_bytes(data: bytes) -> RGB:
    name = next((name for magic, name in _FORMATS.items() if re.match(magic, data, re.DOTALL)), None)
    if name is None:
        raise UnreadableError("is not a JPEG, PNG, WebP, GIF, BMP or TIFF image")
    with _damage_named():
        if name == "JPEG":
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            _check_size(width, height)
            if colours not in ("CMYK", "YCCK"):
                # Strict libjpeg-turbo notices damage that Pillow shows as a grey or garbled picture.
                rgb = simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)
                return _upright(rgb, _exif_orientation(data[: 2**18]))
        with PIL.Image.OPEN[name][0](io.BytesIO(data), "") as image:
            return _from_pillow(image)


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


def ordered_map(
    work: Callable[[Item], Result], items: Iterable[Item], *, ahead: int = 8 * WORKERS
) -> Generator[Result, None, None]:
    """Apply `work` in threads and yield the results in order, never more than `ahead` items in hand.

    Decoding and resizing release the GIL, so threads suffice, and the caller works while they do.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="fashionsearch-decode") as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) >= ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def thumbnail_uri(image: Image, *, side: int = 96) -> str:
    """Return a `data:` address of a small JPEG of the image, at most `side` pixels long, for HTML."""
    try:
        picture = PIL.Image.fromarray(read_image(image))
    except errors.ImageError:
        picture = PIL.Image.new("RGB", (side, side), "lightgrey")
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

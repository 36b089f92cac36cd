"""Anything a user calls an image becomes (H, W, 3) uint8 RGB here, and nowhere else.

The rules that decoders leave open are fixed: EXIF orientation is applied, transparency is laid on white,
16-bit values are scaled (not clipped), the first frame of an animation counts, and a damaged file is an error.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import PIL.Image
import PIL.ImageOps
import simplejpeg
from numpy.typing import NDArray

from fashionsearch import errors

if TYPE_CHECKING:
    import torch

RGB: TypeAlias = NDArray[np.uint8]
Image: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes] | PIL.Image.Image | NDArray[Any] | torch.Tensor"
Images: TypeAlias = "Image | Iterable[Image]"
Item = TypeVar("Item")
Result = TypeVar("Result")

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
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
    elif _is_batch(images):
        yield from images
    elif isinstance(images, Iterable) and not isinstance(images, dict):
        for image in images:
            if _is_batch(image):
                yield from image  # type: ignore[misc]
            else:
                yield image
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
        return sum(len(image) if _is_batch(image) else 1 for image in images)  # type: ignore[arg-type]
    return len(images) if hasattr(images, "__len__") else None


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")  # no tensor exists before torch is imported
    return torch is not None and isinstance(value, torch.Tensor)


def _is_batch(value: object) -> bool:
    return (isinstance(value, np.ndarray) or _is_tensor(value)) and value.ndim == 4  # type: ignore[attr-defined]


def _is_single(value: object) -> bool:
    if is_encoded(value) or isinstance(value, PIL.Image.Image):
        return True
    if isinstance(value, np.ndarray):
        return value.dtype.kind not in "OUS" and value.ndim < 4
    return _is_tensor(value) and value.ndim < 4  # type: ignore[attr-defined]


def _describe(image: object) -> str:
    if isinstance(image, str | os.PathLike):
        return os.fspath(image)
    if isinstance(image, np.ndarray) or _is_tensor(image):
        kind = "array" if isinstance(image, np.ndarray) else "tensor"
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
        return _from_pillow(image)
    if isinstance(image, np.ndarray):
        return _from_array(image, "an (H, W, 3) or (H, W) array")
    if _is_tensor(image):
        array = image.detach().cpu()  # type: ignore[union-attr]
        if array.ndim == 3:
            if array.shape[0] not in (1, 3, 4):
                raise UnreadableError("a tensor image is channel-first, (3, H, W); permute(2, 0, 1) it")
            array = array.permute(1, 2, 0)
        # numpy has no bfloat16
        return _from_array((array.float() if array.is_floating_point() else array).numpy(), "a (3, H, W) tensor")
    return _from_bytes(content(image))


def content(image: str | os.PathLike[str] | bytes | IO[bytes] | Any) -> bytes:
    """Return the encoded bytes of a path, bytes or file object, having checked that reading them is safe."""
    if isinstance(image, bytes | bytearray | memoryview):
        data = bytes(image)
    elif isinstance(image, str | os.PathLike):
        data = _file_content(image)
    elif hasattr(image, "read"):
        if hasattr(image, "seekable") and image.seekable():
            image.seek(0)
        data = image.read(MAX_BYTES + 1)
        if not isinstance(data, bytes):
            raise UnreadableError("the file object is open as text; open it with mode 'rb'")
    else:
        raise UnreadableError(
            "is not an image; give a path, bytes, a file object, a PIL image, an array or a tensor"
        )
    if not data:
        raise UnreadableError("the file is empty")
    if len(data) > MAX_BYTES:
        raise UnreadableError(f"is larger than {MAX_BYTES // 2**20} MiB; give a smaller copy")
    return data


def _file_content(path: str | os.PathLike[str]) -> bytes:
    try:
        status = os.stat(path)
        # Opening a FIFO would wait for ever and a device may never end, so look before opening.
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableError("is a folder; list its files, or use fashionsearch.datasets.load_folder")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("is not a regular file (a FIFO, socket or device)")
        if status.st_size > MAX_BYTES:
            raise UnreadableError(f"is larger than {MAX_BYTES // 2**20} MiB; give a smaller copy")
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UnreadableError("there is no such file") from None
    except (OSError, ValueError) as error:
        raise UnreadableError(f"can't be opened: {getattr(error, 'strerror', None) or error}") from error


def _from_bytes(data: bytes) -> RGB:
    try:
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(*image.size)
            if image.format == "JPEG" and image.mode in ("RGB", "L"):
                # Strict libjpeg-turbo notices damage that Pillow shows as a grey or garbled picture.
                return _upright(simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True), image)
            return _from_pillow(image)
    except PIL.UnidentifiedImageError:
        raise UnreadableError(
            f"is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image, or its header is damaged"
        ) from None
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning):
        raise UnreadableError(f"has more than the {MAX_PIXELS:,} pixels allowed; give a smaller copy") from None
    except UnreadableError:
        raise
    # Decoders of damaged files raise nearly anything: OSError, SyntaxError, ValueError, struct.error, …
    except Exception as error:
        raise UnreadableError(f"is damaged: {str(error).strip() or type(error).__name__}") from error


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadableError(
            f"has {width}×{height} pixels, more than the {MAX_PIXELS:,} allowed; give a smaller copy"
        )
    if width < 1 or height < 1:
        raise UnreadableError(f"has no pixels ({width}×{height})")


def _upright(rgb: RGB, image: PIL.Image.Image) -> RGB:
    orientation = image.getexif().get(0x0112, 1)
    if orientation not in range(2, 9):
        return rgb
    if orientation >= 5:
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)


def _from_pillow(image: PIL.Image.Image) -> RGB:
    _check_size(*image.size)
    try:
        image = PIL.ImageOps.exif_transpose(image)
        if image.mode.startswith("I") or image.mode == "F":
            return _from_array(_wide_values(image), "a greyscale image")
        if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA")
            white = PIL.Image.new("RGBA", image.size, "white")
            image = PIL.Image.alpha_composite(white, image)
        return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableError(f"is damaged: {error}") from error


def _wide_values(image: PIL.Image.Image) -> NDArray[Any]:
    values = np.array(image)
    if image.mode != "I":
        return values
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableError("has 32-bit values outside [0, 65535]; scale it to 8 or 16 bits")
    return values.astype(np.uint16)


def _from_array(array: NDArray[Any], form: str) -> RGB:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        hint = "; transpose(1, 2, 0) makes a channel-first array fit" if array.ndim == 3 and array.shape[0] in (1, 3) else ""
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
        if not (0 <= low and high <= 1):
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
) -> Iterator[Result]:
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
            for future in pending:
                future.cancel()


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

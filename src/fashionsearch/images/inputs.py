"""Anything a user calls images: one or many, in any mixture of forms, read in parallel, with errors that name them."""

from __future__ import annotations

import base64
import contextlib
import io
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.images.decoding import RGB, Image, UnreadableError, content, decode, is_encoded, is_tensor

Images: TypeAlias = "Image | Iterable[Image]"
Item = TypeVar("Item")
Result = TypeVar("Result")

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

    Examples:
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

    What comes from anything but a list, tuple, array or tensor is copied before the next is asked for: readers of videos,
    cameras and animations give the same buffer again and again, filled anew.

    Raises:
        InputError: if `images` is none of these.
    """
    if _is_single(images):
        _refuse_stack(images)
        yield images  # type: ignore[misc]
    elif hasattr(images, "columns") and hasattr(images, "dtypes"):
        first = str(next(iter(images.columns), "path"))
        raise errors.InputError(
            f"a data frame is not images; give its column of paths, such as frame[{first!r}]"
        )
    elif isinstance(images, Iterable) and not isinstance(images, dict):
        holds_all = isinstance(images, list | tuple | np.ndarray) or is_tensor(images)
        for image in images:
            for single in image if _is_batch(image) else (image,):  # type: ignore[union-attr]
                yield single if holds_all else _copied(single)  # type: ignore[arg-type,misc]
    else:
        raise errors.InputError(
            f"{_describe(images)} is not an image; give a path, bytes, a file object, a PIL image, an (H, W, 3) array, "
            "a (3, H, W) tensor, a 4-D batch, or an iterable of them"
        )


def _copied(image: Image) -> Image:
    """Return an image that stays as it is, whatever becomes of the buffer or file that it was given in."""
    if isinstance(image, np.ndarray):
        return image.copy()
    if is_tensor(image):
        return image.detach().clone()  # type: ignore[union-attr]
    if isinstance(image, str | os.PathLike | bytes):
        return image
    try:
        if isinstance(image, PIL.Image.Image):
            return image.copy()
        return content(image) if is_encoded(image) else image
    except Exception:  # it is damaged, and whoever reads it says so, with its position
        return image


def count(images: Images) -> int | None:
    """Return the number of images where it is known without reading an iterator.

    Raises:
        InputError: if it is an array of greyscale images, which could be meant as one image or as many.
    """
    if _is_single(images):
        _refuse_stack(images)
        return 1
    if isinstance(images, list | tuple):
        return sum(len(image) if _is_batch(image) else 1 for image in images)
    return len(images) if hasattr(images, "__len__") else None  # type: ignore[arg-type]


def repeatable(images: Images) -> Images:
    """Return images that can be gone through more than once: an iterator is read into a list."""
    return list(iterate(images)) if count(images) is None else images


def source_of(image: object) -> str | None:
    """Return the path an image is given by, or None for one that has none."""
    return os.fspath(image) if isinstance(image, str | os.PathLike) else None


def _is_batch(value: object) -> bool:
    return (isinstance(value, np.ndarray) or is_tensor(value)) and value.ndim == 4  # type: ignore[attr-defined]


def _is_single(value: object) -> bool:
    if is_encoded(value) or isinstance(value, PIL.Image.Image):
        return True
    if isinstance(value, np.ndarray):
        return value.ndim == 0 or (value.dtype.kind not in "OUS" and value.ndim != 4)
    return is_tensor(value) and value.ndim != 4  # type: ignore[attr-defined]


def _refuse_stack(image: object) -> None:
    """Raise InputError for an array of three axes that is no image, such as (n, 28, 28)."""
    if not (isinstance(image, np.ndarray) or is_tensor(image)) or image.ndim != 3:  # type: ignore[attr-defined]
        return
    shape = tuple(image.shape)  # type: ignore[attr-defined]
    if not {shape[0], shape[2]} & {1, 3, 4}:
        raise errors.InputError(
            f"an array of shape {shape} is neither an image, (H, W, 3) or (3, H, W), nor a batch of four axes; if it holds "
            f"{shape[0]} greyscale images, give list(images)"
        )


def _describe(image: object) -> str:
    if isinstance(image, str | os.PathLike):
        return os.fsdecode(image)
    if isinstance(image, np.ndarray) or is_tensor(image):
        kind = "tensor" if is_tensor(image) else "array"
        return f"{kind} of shape {tuple(image.shape)} and dtype {image.dtype}"  # type: ignore[attr-defined]
    if isinstance(image, bytes | bytearray | memoryview):
        return f"{len(image)} bytes"
    if isinstance(image, PIL.Image.Image):
        return f"PIL image of mode {image.mode} and size {image.size[0]}×{image.size[1]}"
    return f"a value of type {type(image).__name__}"


@contextlib.contextmanager
def named(position: int, image: Image) -> Iterator[None]:
    """Turn an `UnreadableError` inside the block into an `ImageError` that names the image and its position."""
    try:
        yield
    except UnreadableError as error:
        raise errors.ImageError([errors.ImageFailure(position, _describe(image), str(error))]) from error


def read_image(image: Image, *, position: int = 0, at_least: tuple[int, int] | None = None) -> RGB:
    """Decode one image of any form to RGB.

    Args:
        image: a path, bytes, file object (read from its start), PIL image, array (H, W, 3), (H, W, 4) or (H, W), or
            tensor (3, H, W) or (H, W); arrays and tensors are uint8, uint16 or float in [0, 1].
        position: the place to name in an error.
        at_least: (height, width) that it will be made: a far larger JPEG is scaled down while it is decoded.

    Returns:
        (H, W, 3) uint8 array, EXIF orientation applied and transparency laid on white.

    Raises:
        ImageError: if it can't be read, is damaged, or has too many pixels: 50 million, a JPEG 200 million, unless the
            environment variable `FASHIONSEARCH_MAX_PIXELS` allows more.

    Examples:
        >>> import numpy as np
        >>> read_image(np.full((2, 5), 0.5)).shape
        (2, 5, 3)
    """
    with named(position, image):
        return decode(image, at_least=at_least)


def ordered_map(
    work: Callable[[Item], Result], items: Iterable[Item], *, ahead: int = 8 * WORKERS
) -> Generator[Result, None, None]:
    """Apply `work` in threads and yield the results in order, never more than `ahead` items in hand.

    Decoding and resizing release the GIL, so threads suffice, and the caller works while they do.
    """
    from concurrent.futures import Future, ThreadPoolExecutor

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

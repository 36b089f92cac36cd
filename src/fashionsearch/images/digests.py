"""Photos known by their pixels: a copy with another name or other metadata is the same photo."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.images.decoding import RGB, Image
from fashionsearch.images.inputs import Images, iterate, ordered_map, read_image

_BYTES = 8


def pixels_digest(pixels: RGB) -> bytes:
    """Return a hash of a decoded photo; two photos have the same if their shapes and all pixels are the same.

    Two different photos among a million have the same by chance in one of 37 million such catalogues.

    Args:
        pixels: (H, W, 3) uint8, as `read_image` returns it.

    Returns:
        8 bytes: BLAKE2b of shape and pixels.

    Examples:
        >>> import numpy as np
        >>> black = np.zeros((4, 6, 3), np.uint8)
        >>> pixels_digest(black) == pixels_digest(black.copy()), pixels_digest(black) == pixels_digest(black.reshape(6, 4, 3))
        (True, False)
    """
    digest = hashlib.blake2b(f"{pixels.shape[0]}x{pixels.shape[1]}|".encode(), digest_size=_BYTES)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def digests(images: Images) -> NDArray[np.uint64]:
    """Return (n,) uint64, the digest of each image's pixels; 0 where an image can't be read."""

    def digest_of(numbered: tuple[int, Image]) -> int:
        position, image = numbered
        try:
            return int.from_bytes(pixels_digest(read_image(image, position=position)), "little")
        except errors.ImageError:
            return 0

    return np.fromiter(ordered_map(digest_of, enumerate(iterate(images))), dtype=np.uint64)

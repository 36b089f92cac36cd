"""By what two photos of the same pixels are known, whatever file they lie in."""

from __future__ import annotations

import hashlib

import numpy as np

from fashionsearch.images.decoding import RGB

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
        >>> grey = np.full((2, 3, 3), 128, np.uint8)
        >>> len(pixels_digest(grey)), pixels_digest(grey) == pixels_digest(grey.reshape(3, 2, 3))
        (8, False)
    """
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=_BYTES)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()

"""Vectors in a mapped file, of which a block is compared with its digest when it is first touched."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors

ROWS = 4096  # of a block
_DIGEST_BYTES = 16


class DamagedBlockError(errors.CorruptFileError):
    """A block of a mapped file that isn't what was written."""


def digests(vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (blocks, 16) digests of the blocks of (n, dim) vectors."""
    found = b"".join(_digest(vectors[start : start + ROWS]) for start in range(0, len(vectors), ROWS))
    return np.frombuffer(found, dtype=np.uint8).reshape(-1, _DIGEST_BYTES)


def _digest(block: NDArray[np.float32]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(block).data, digest_size=_DIGEST_BYTES).digest()


class Blocks:
    """What is yet to be verified of mapped vectors.

    Args:
        vectors: (n, dim), mapped.
        digests: of their blocks, as `digests` returned them.
        path: of their file.

    Raises:
        CorruptFileError: if there are not as many digests as blocks.
    """

    def __init__(self, vectors: NDArray[np.float32], digests: NDArray[np.uint8], path: Path) -> None:
        self._vectors, self._digests, self._path = vectors, digests, path
        count = -(-len(vectors) // ROWS)
        if digests.shape != (count, _DIGEST_BYTES) or digests.dtype != np.uint8:
            raise errors.CorruptFileError(f"{path} is damaged: it has other blocks than were written")
        self._verified = np.zeros(count, dtype=bool)

    @property
    def is_verified(self) -> bool:
        """Whether there is nothing left to verify."""
        return bool(self._verified.all())

    def verify(self, slots: NDArray[np.intp] | None = None) -> None:
        """Verify the blocks in which some slots lie, or all.

        Raises:
            DamagedBlockError: if one isn't what was written.
        """
        pending = ~self._verified
        if slots is not None:
            asked = np.zeros_like(pending)
            asked[slots[slots < len(self._vectors)] // ROWS] = True
            pending &= asked
        for block in np.flatnonzero(pending).tolist():
            if _digest(self._vectors[block * ROWS : (block + 1) * ROWS]) != self._digests[block].tobytes():
                raise DamagedBlockError(
                    f"{self._path} is not the file that was saved: its vectors from {block * ROWS:,} on differ"
                )
            self._verified[block] = True

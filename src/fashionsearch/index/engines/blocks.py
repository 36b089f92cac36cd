"""Vectors in a mapped file, of which a block is compared with its digest when it is first touched.

It is compared as read from the file, and not through the map, where what the disk can't give would end the process. What is
left: a page that was verified and given up by the system, and that the disk can't give once more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage

ROWS = 4096  # of a block
_DIGEST_BYTES = 16
_PIECE = 2**18  # bytes that are read at once


class DamagedBlockError(errors.CorruptFileError):
    """A block of a mapped file that isn't what was written."""


def digests(vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (blocks, 16) digests of the blocks of (n, dim) vectors."""
    found = b"".join(
        _digest([np.ascontiguousarray(vectors[start : start + ROWS]).data])
        for start in range(0, len(vectors), ROWS)
    )
    return np.frombuffer(found, dtype=np.uint8).reshape(-1, _DIGEST_BYTES)


def _digest(pieces: Iterable[bytes | memoryview]) -> bytes:
    found = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for piece in pieces:
        found.update(piece)
    return found.digest()


class Blocks:
    """What is yet to be verified of mapped vectors.

    Args:
        source: their file.
        shape: (n, dim) of the vectors.
        digests: of their blocks, as `digests` returned them.
        path: of their file, for an error.

    Raises:
        CorruptFileError: if there are not as many digests as blocks.
    """

    def __init__(
        self, source: storage.Mapped, shape: tuple[int, int], digests: NDArray[np.uint8], path: Path
    ) -> None:
        self._source, self._digests, self._path = source, digests, path
        self._rows, self._block_bytes = shape[0], 4 * shape[1] * ROWS
        count = -(-self._rows // ROWS)
        if digests.shape != (count, _DIGEST_BYTES) or digests.dtype != np.uint8:
            raise errors.CorruptFileError(f"{path} is damaged: it has other blocks than were written")
        self._verified = np.zeros(count, dtype=bool)

    @property
    def is_verified(self) -> bool:
        """Whether there is nothing left to verify."""
        return bool(self._verified.all())

    def verify(self, slots: NDArray[np.intp] | None = None) -> None:
        """Verify the blocks in which some slots lie, or all; and each time that the file was not cut off.

        Raises:
            DamagedBlockError: if one isn't what was written, or can't be read.
        """
        try:
            self._source.check()
            if not self.is_verified:
                self._compare(slots)
        except OSError as error:
            raise DamagedBlockError(
                f"{self._path} can't be read any more: {error.strerror or error}"
            ) from error

    def _compare(self, slots: NDArray[np.intp] | None) -> None:
        pending = ~self._verified
        if slots is not None:
            asked = np.zeros_like(pending)
            asked[slots[slots < self._rows] // ROWS] = True
            pending &= asked
        blocks = np.flatnonzero(pending).tolist()
        # Whoever verifies all comes towards a search that begins at the front, so that neither does the other's half.
        for block in reversed(blocks) if slots is None else blocks:
            if self._verified[block]:
                continue
            if _digest(self._pieces(block)) != self._digests[block].tobytes():
                raise DamagedBlockError(
                    f"{self._path} is not the file that was saved: its vectors from {block * ROWS:,} on differ"
                )
            self._verified[block] = True

    def _pieces(self, block: int) -> Iterator[bytes | memoryview]:
        """Yield a block bit by bit: whole, it would take megabytes a thread."""
        start, stop = block * self._block_bytes, (block + 1) * self._block_bytes
        for at in range(start, stop, _PIECE):
            yield self._source.read(at, min(at + _PIECE, stop))

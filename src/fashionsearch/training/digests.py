"""Sizes and SHA-256 of files, taken while they are written and compared before they are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

_BLOCK = 2**20


class HashingWriter:
    """Writes to a file and hashes what it writes.

    Args:
        file: open for writing, in binary.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size, self._hash = file, 0, hashlib.sha256()

    def write(self, data: Any) -> int:
        """Write bytes, and return how many."""
        self._file.write(data)
        self._hash.update(data)
        written = memoryview(data).nbytes
        self._size += written
        return written

    def flush(self) -> None:
        """Pass on what waits to be written."""
        self._file.flush()

    @property
    def digest(self) -> dict[str, Any]:
        """Size and SHA-256 of what was written, as JSON holds them."""
        return {"bytes": self._size, "sha256": self._hash.hexdigest()}


def is_one_of(file: BinaryIO, digests: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether a file, open at its start, is what one of the digests names; it is at its start again afterwards."""
    size = os.fstat(file.fileno()).st_size
    wanted = {each["sha256"] for each in digests if each["bytes"] == size}
    if not wanted:  # an endless or huge file in its place is not read
        return False
    found = hashlib.sha256()
    while block := file.read(_BLOCK):
        found.update(block)
    file.seek(0)
    return found.hexdigest() in wanted

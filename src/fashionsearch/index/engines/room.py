"""Where the vectors of a store lie: in memory, or in a mapped file where an index holds smaller ones in memory."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors


class Room:
    """Gives arrays of vectors.

    Args:
        on_disk: whether they are mapped files, which need no memory of their own: the system keeps of them what is in use.
        folder: where the files are made, which have no names and go with the arrays; None is the system's for such files.
    """

    def __init__(self, *, on_disk: bool = False, folder: Path | None = None) -> None:
        self.on_disk, self._folder = on_disk, folder

    def array(self, rows: int, dim: int) -> NDArray[np.float32]:
        """Return (rows, dim) float32 of zeros.

        Raises:
            StorageError: if the disk has no room for them.
        """
        if not self.on_disk or not rows * dim:
            return np.zeros((rows, dim), dtype=np.float32)
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                # A page that finds no room on the disk later would end the process.
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, 4 * rows * dim)
                else:
                    file.truncate(4 * rows * dim)
                return np.memmap(file, dtype=np.float32, mode="r+", shape=(rows, dim))
        except OSError as error:
            where = self._folder or tempfile.gettempdir()
            raise errors.StorageError(
                f"no room for {4 * rows * dim:,} bytes of vectors in {where}: {error.strerror or error}"
            ) from error

"""Who may write to an opened index: one at a time."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from fashionsearch import errors
from fashionsearch.files import lock

if sys.platform == "win32":
    import msvcrt

COUNTER = "changes"  # the file that holds the number of the last change, and the lock of whoever writes
_BEHIND = 2**20  # where Windows, which lets nobody read what is locked, locks a byte


def claim(folder: Path) -> int:
    """Become the only writer of an index, for as long as the returned descriptor is open.

    Raises:
        StorageError: if somebody else is, or the folder can't be written.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        counter = os.open(folder / COUNTER, flags, 0o666)
    except OSError as error:
        raise errors.StorageError(
            f"{folder} can't be written: {error.strerror or error}; open it with read_only=True"
        ) from error
    try:
        if not stat.S_ISREG(os.fstat(counter).st_mode):
            raise errors.StorageError(f"{folder / COUNTER} is no regular file; remove it")
        _lock(counter)
    except BlockingIOError as error:
        os.close(counter)
        raise errors.StorageError(
            f"{folder} is open for writing elsewhere, in another process or in this one; close it there, or open it here "
            "with read_only=True"
        ) from error
    except OSError as error:
        os.close(counter)
        raise errors.StorageError(f"{folder} can't be locked: {error.strerror or error}") from error
    except BaseException:
        os.close(counter)
        raise
    return counter


def _lock(counter: int) -> None:
    """Lock the open file.

    Raises:
        BlockingIOError: if somebody else has locked it.
        OSError: if there are no locks here.
    """
    if sys.platform == "win32":
        os.lseek(counter, _BEHIND, os.SEEK_SET)
        try:
            msvcrt.locking(counter, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(str(error)) from error
    else:
        lock(counter)

"""Scratch folders that go with their process: what a killed one left is removed by the next."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import filelock


@contextlib.contextmanager
def scratch_folder(root: Path, prefix: str) -> Iterator[Path]:
    """Make a folder that goes when the block ends, and remove those of processes that have died.

    A lock file beside each folder is held for as long as its process lives, so that nothing in use is removed.

    Args:
        root: where to make it.
        prefix: how the names of such folders begin.

    Raises:
        OSError: if it can't be made.
    """
    for path in root.glob(f"{prefix}*.lock"):
        _remove_if_dead(path)
    folder = root / f"{prefix}{secrets.token_hex(8)}"
    lock = filelock.FileLock(_lock_of(folder), timeout=0)
    with lock:
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            _lock_of(folder).unlink(missing_ok=True)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _remove_if_dead(path: Path) -> None:
    with contextlib.suppress(OSError):  # another process removes it too, or it belongs to another user
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode) or (hasattr(os, "getuid") and about.st_uid != os.getuid()):
            return
        with filelock.FileLock(path, timeout=0):  # a Timeout is an OSError, and says that its process lives
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
            path.unlink(missing_ok=True)

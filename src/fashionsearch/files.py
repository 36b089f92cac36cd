"""Single files on the disk: a path as the user wrote it, safe reading, and writing that a crash can't leave half done."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeAlias

from fashionsearch import errors

if sys.platform != "win32":
    import fcntl

PathLike: TypeAlias = "str | os.PathLike[str]"


def as_path(path: PathLike) -> Path:
    """Return a path with a leading `~` replaced by the user's home, as a shell does.

    Raises:
        InputError: if it is no path at all.

    Examples:
        >>> as_path("photos/a.jpg").as_posix()
        'photos/a.jpg'
        >>> as_path("~/photos") == Path.home() / "photos"
        True
    """
    try:
        return Path(os.path.expanduser(path))  # noqa: PTH111 (Path's own raises where there is no home)
    except TypeError as error:
        raise errors.InputError(
            f"{path!r} of type {type(path).__name__} is not a path; give a string or a pathlib.Path"
        ) from error


def open_regular(path: PathLike) -> BinaryIO:
    """Open a regular file for reading, and refuse at once what could be read for ever or never answer.

    Raises:
        IsADirectoryError: if it is a folder.
        OSError: if it can't be opened, or is a FIFO, a socket or a device.
    """
    # Without O_NONBLOCK, opening a FIFO waits for its writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError("is a folder")
        if not stat.S_ISREG(mode):
            raise OSError("is not a regular file (a FIFO, socket or device)")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: PathLike, max_bytes: int) -> bytes:
    """Return the content of a regular file of at most `max_bytes`.

    Raises:
        OSError: if it can't be read, isn't a regular file, or is larger.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise OSError(f"has {size:,} bytes, and at most {max_bytes:,} are read")
        return file.read(max_bytes)


def write_atomically(path: PathLike, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one, whole.

    It is written beside its place, synced, and renamed; what killed processes left of the same file is removed first.

    Args:
        path: the file; its folder is made where it is missing.
        write: called with the open file, in binary.

    Raises:
        StorageError: if it can't be written; the old file is unchanged. What `write` raises otherwise passes through.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(f"{folder}/a.txt", lambda file: file.write(b"new"))
        ...     Path(folder, "a.txt").read_bytes()
        b'new'
    """
    target = as_path(path)
    try:
        make_folder(target.parent)
        _remove_leftovers(target)
        fresh, file = _create_beside(target)
        try:
            with file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
                if sys.platform == "win32":
                    file.close()  # Windows renames no open file
                fresh.replace(target)
        except BaseException:
            # Whatever stopped the writing may stop this too, and is the error to hear of.
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise
    except errors.StorageError:
        raise
    except OSError as error:
        raise errors.StorageError(
            f"{target} could not be written: {error.strerror or error}; what was there before is unchanged"
        ) from error
    try:
        sync(target.parent)
    except OSError as error:
        raise errors.StorageError(
            f"{target} was written, but a power failure may still undo it: {error.strerror or error}"
        ) from error


def _create_beside(target: Path) -> tuple[Path, BinaryIO]:
    while True:
        fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")
        file = fresh.open("xb")
        if sys.platform != "win32":
            # The lock tells that its process lives. Another one may have removed the file before it was held.
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file.fileno()).st_nlink:
                file.close()
                continue
        return fresh, file


def _remove_leftovers(target: Path) -> None:
    """Remove what killed writers of the same file left: nobody holds its lock any more."""
    if sys.platform == "win32":
        return
    for path in target.parent.iterdir():
        if path.name.startswith(f".{target.name}.") and path.suffix == ".new":
            with contextlib.suppress(OSError), open_regular(path) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, each listed on the disk in the one above."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync(each.parent)


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows can't open a folder; NTFS journals the rename
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Single files on the disk: a path as the user wrote it, safe reading, and writing that a crash can't leave half done."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeAlias

from fashionsearch import errors

if sys.platform != "win32":
    import fcntl

PathLike: TypeAlias = "str | os.PathLike[str]"

_DRAFT = re.compile(r"\..+\.[0-9a-f]{8}\.new", re.DOTALL)


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


def portable(path: PathLike, folder: PathLike) -> str:
    """Return how a file in a folder is to name another file: so that both can move together, and else by where it is.

    Args:
        path: of the other file, from the working directory where it is relative.
        folder: in which the naming file lies.

    Returns:
        The path from the folder, with slashes, if the other file lies inside; else its absolute path.

    Examples:
        >>> portable("photos/shirts/a.jpg", "photos")
        'shirts/a.jpg'
    """
    target = Path(os.path.abspath(as_path(path)))  # noqa: PTH100 (Path.absolute keeps "..")
    inside, real = as_path(folder).resolve(), target.resolve()
    return real.relative_to(inside).as_posix() if real.is_relative_to(inside) else str(target)


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


def is_draft(name: str) -> bool:
    """Return whether a file's name is of what `write_atomically` is writing, or left when it was killed.

    Examples:
        >>> is_draft(".report.html.0a1b2c3d.new"), is_draft("report.html")
        (True, False)
    """
    return _DRAFT.fullmatch(name) is not None


def _create_beside(target: Path) -> tuple[Path, BinaryIO]:
    while True:
        fresh = target.with_name(f".{target.name}.{os.urandom(4).hex()}.new")
        file = fresh.open("xb")
        try:
            lock(file.fileno())  # tells others that its process lives
        except BlockingIOError:  # another one takes it for a leftover
            file.close()
            continue
        except OSError:  # there are no locks here, and so nobody removes it
            return fresh, file
        if os.fstat(file.fileno()).st_nlink:
            return fresh, file
        file.close()


def _remove_leftovers(target: Path) -> None:
    """Remove what killed writers of the same file left: nobody holds its lock any more."""
    for path in target.parent.iterdir():
        if is_draft(path.name) and path.name.startswith(f".{target.name}."):
            with contextlib.suppress(OSError), open_regular(path) as file:
                lock(file.fileno())
                path.unlink()


def open_folder(folder: Path) -> int:
    """Return a descriptor of a folder, to lock it by.

    Raises:
        OSError: if it can't be opened, or is no folder.
    """
    return os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NONBLOCK", 0))


def lock(descriptor: int, *, shared: bool = False) -> None:
    """Lock an open file or folder against other processes and threads until it is closed, without waiting.

    Raises:
        BlockingIOError: if somebody else holds it.
        OSError: if the system or the file system has no such locks.
    """
    if sys.platform == "win32":
        raise OSError("no locks of files on Windows")
    fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


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


def file_system(path: Path) -> str | None:
    """Return the kind of file system that a path lies on or will, such as "ext4" or "nfs4"; None where nobody tells."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    where = path.resolve()
    found: tuple[int, str | None] = (-1, None)
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        mount = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point))
        if where.is_relative_to(mount) and len(mount.parts) >= found[0]:
            found = len(mount.parts), kind
    return found[1]


def bytes_of(folder: Path) -> int:
    """Return what the files in a folder, and in those inside, hold together."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # another process may be removing what is old
                total += Path(parent, name).stat().st_size
    return total

"""The bytes of an encoded image, from wherever they come, having checked that reading them is safe."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from typing import IO, Any

import PIL.Image

from fashionsearch.files import as_path, open_regular
from fashionsearch.values import is_missing

MAX_BYTES = 512 * 2**20
_OF_THIS_MACHINE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC}


class UnreadableError(Exception):
    """Why one image can't be read; `named` adds which one it is."""


def is_encoded(image: object) -> bool:
    """Return whether an image is a file of some kind: a path, bytes or a file object."""
    return isinstance(image, str | os.PathLike | bytes | bytearray | memoryview) or (
        hasattr(image, "read") and not isinstance(image, PIL.Image.Image)
    )


def content(image: str | os.PathLike[str] | bytes | IO[bytes] | Any) -> bytes:
    """Return the encoded bytes of a path, bytes or file object.

    Raises:
        UnreadableError: if there are none, or too many.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        data = bytes(image)
    elif isinstance(image, str | os.PathLike):
        data = _file_content(image)
    elif hasattr(image, "read"):
        data = _object_content(image)
    else:
        forms = "is not an image; give a path, bytes, file, PIL image, array or tensor"
        raise UnreadableError(f"{forms}, and leave out rows that have none" if is_missing(image) else forms)
    if not data:
        raise UnreadableError("the file is empty")
    if len(data) > MAX_BYTES:
        raise UnreadableError(f"is larger than {MAX_BYTES // 2**20} MiB; give a smaller copy")
    return data


def _file_content(path: str | os.PathLike[str]) -> bytes:
    try:
        name = os.fsdecode(path)
        with open_regular(as_path(name) if name.startswith("~") else name) as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UnreadableError("there is no such file") from None
    except IsADirectoryError:
        raise UnreadableError(
            "is a folder; list its files, or use fashionsearch.datasets.load_folder"
        ) from None
    except OSError as error:
        raise_if_of_this_machine(error)
        raise UnreadableError(
            f"can't be opened: {error.strerror}" if error.strerror else str(error)
        ) from error
    except ValueError as error:
        raise UnreadableError(f"can't be opened: {error}") from error


def _object_content(file: Any) -> bytes:
    try:
        with alone(file):
            if hasattr(file, "seekable") and file.seekable():
                file.seek(0)
            try:
                data = file.read(MAX_BYTES + 1)
            except TypeError:  # a reader that knows only how to read all
                data = file.read()
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # an object of the user's own raises anything
        raise_if_of_this_machine(error)
        raise UnreadableError(f"can't be read: {str(error) or type(error).__name__}") from error
    if isinstance(data, str):
        raise UnreadableError("the file object is open as text; open it with mode 'rb'")
    if not isinstance(data, bytes | bytearray | memoryview):
        raise UnreadableError(
            f"its read() gave a {type(data).__name__} and not bytes; open it blocking, with mode 'rb'"
        )
    return bytes(data)


def raise_if_of_this_machine(error: Exception) -> None:
    """Raise an error again that says nothing of the image: too many files are open, or memory ran out."""
    if isinstance(error, OSError) and error.errno in _OF_THIS_MACHINE:
        raise error


_guard = threading.Lock()
_in_use: dict[int, tuple[threading.Lock, int]] = {}


@contextlib.contextmanager
def alone(source: object) -> Iterator[None]:
    """Keep other threads from the same object, and only from that: one given twice must not be read by two at once."""
    with _guard:
        lock, users = _in_use.get(id(source), (threading.Lock(), 0))
        _in_use[id(source)] = lock, users + 1
    try:
        with lock:
            yield
    finally:
        with _guard:
            lock, users = _in_use.pop(id(source))
            if users > 1:
                _in_use[id(source)] = lock, users - 1


def _forget() -> None:
    """In a forked child, locks that threads of the parent held would stay locked for ever."""
    global _guard
    _guard = threading.Lock()
    _in_use.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

"""A folder for other programs: written beside its place and renamed into it, whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from fashionsearch import errors, files

KIND = "fashionsearch export"
ABOUT, SCRIPT, README = "model.json", "use.py", "README.md"
ONNX, OPENVINO, OPENVINO_WEIGHTS = "model.onnx", "model.xml", "model.bin"
_FILES = {ABOUT, SCRIPT, README, ONNX, OPENVINO, OPENVINO_WEIGHTS}
_LEFT_BY_PYTHON = "__pycache__"
_MAX_ABOUT = 64 * 2**20
_SWAP, _HERE = 2, -100  # renameat2's RENAME_EXCHANGE and AT_FDCWD


def checked(folder: files.PathLike) -> Path:
    """Return where a folder lies, once it is known to be free for an export.

    Raises:
        StorageError: if there is something else.
    """
    path = files.as_path(folder)
    with _named(path):
        if not path.exists():
            return path.resolve()
        if not path.is_dir():
            raise errors.StorageError(f"{path} is a file; choose another folder")
        others = {inner.name for inner in path.iterdir()} - {_LEFT_BY_PYTHON}
        strangers = others if others and not _is_export(path) else others - _FILES
    if strangers:
        raise errors.StorageError(
            f"{path} holds {min(strangers)!r}, which is not of an export and would be lost; choose another folder, or move "
            "it away"
        )
    return path.resolve()  # a link stays, and what it leads to is replaced


def _is_export(path: Path) -> bool:
    try:
        about = json.loads(files.read_regular(path / ABOUT, _MAX_ABOUT))
    except (FileNotFoundError, ValueError, RecursionError):
        return False
    return isinstance(about, dict) and about.get("format") == KIND


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it takes its name at the end of the block, unless an error comes.

    Raises:
        StorageError: if it can't be written; what was there is unchanged.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    with contextlib.ExitStack() as held:
        held.callback(shutil.rmtree, fresh, ignore_errors=True)
        with _named(path):
            files.make_folder(path.parent)
            _remove_leftovers(path)
            fresh.mkdir()
            with contextlib.suppress(OSError):  # no locks here, and so nobody removes it
                descriptor = files.open_folder(fresh)
                held.callback(os.close, descriptor)
                files.lock(descriptor)
            yield fresh
            shutil.rmtree(fresh / _LEFT_BY_PYTHON, ignore_errors=True)
            for inner in (*fresh.iterdir(), fresh):
                files.sync(inner)
            checked(path)  # again: what came while the model was exported must not be lost
            _put(fresh, path)
            files.sync(path.parent)


def _remove_leftovers(path: Path) -> None:
    """Remove what killed exports to the same folder left: nobody holds its lock any more."""
    left = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.(new|old)", re.DOTALL)
    for beside in path.parent.iterdir():
        if left.fullmatch(beside.name):
            with contextlib.suppress(OSError):
                descriptor = files.open_folder(beside)
                try:
                    files.lock(descriptor)
                    shutil.rmtree(beside, ignore_errors=True)
                finally:
                    os.close(descriptor)


def _put(fresh: Path, path: Path) -> None:
    """Give a folder its name; what had the name before has the other afterwards, or is gone."""
    if not path.exists():
        fresh.rename(path)
    elif not _swapped(fresh, path):
        aside = fresh.with_suffix(".old")
        path.rename(aside)
        try:
            fresh.rename(path)
        except OSError:
            aside.rename(path)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _swapped(one: Path, other: Path) -> bool:
    """Exchange two names at once, where the system can: between two renames a killed process would leave no folder."""
    if sys.platform != "linux":
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return bool(renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _SWAP) == 0)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except errors.StorageError:
        raise
    except OSError as error:
        raise errors.StorageError(
            f"{path} could not be written: {error}; what was there before is unchanged"
        ) from error

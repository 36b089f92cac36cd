"""A folder for other programs: written beside its place and renamed into it, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from fashionsearch import errors, files

KIND = "fashionsearch export"
ABOUT, SCRIPT, README = "model.json", "use.py", "README.md"
ONNX, OPENVINO, OPENVINO_WEIGHTS = "model.onnx", "model.xml", "model.bin"
_FILES = {ABOUT, SCRIPT, README, ONNX, OPENVINO, OPENVINO_WEIGHTS}
_LEFT_BY_PYTHON = "__pycache__"


def checked(folder: files.PathLike) -> Path:
    """Return where a folder lies, once it is known to be free for an export.

    Raises:
        StorageError: if there is something else.
    """
    path = Path(folder)
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
        about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(about, dict) and about.get("format") == KIND


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it takes its name at the end of the block, unless an error comes.

    Raises:
        StorageError: if it can't be written; what was there is unchanged.
    """
    token = uuid.uuid4().hex[:8]
    fresh, aside = path.with_name(f".{path.name}.{token}.new"), path.with_name(f".{path.name}.{token}.old")
    try:
        with _named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh.mkdir()
            yield fresh
            shutil.rmtree(fresh / _LEFT_BY_PYTHON, ignore_errors=True)
            for inner in (*fresh.iterdir(), fresh):
                files.sync(inner)
            checked(path)  # again: what came while the model was exported must not be lost
            _exchange(fresh, path, aside)
            files.sync(path.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)


def _exchange(fresh: Path, path: Path, aside: Path) -> None:
    if path.exists():
        path.rename(aside)
    try:
        fresh.rename(path)
    except OSError:
        if aside.exists():
            aside.rename(path)
        raise


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

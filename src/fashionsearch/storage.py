"""A saved thing is a folder of generations, written so that a crash at any moment loses nothing.

```text
tagger/
  manifest.json        names the current generation; SHA-256 and size of each of its files; renamed into place last
  generation-2/        what the manifest points to
  generation-1/        the one before, for readers that opened it while generation-2 was written
```

Files are written and synced first, then the manifest is renamed over the old one, so a reader finds the old state or
the new one and never a mixture. Tensors are safetensors and the rest is JSON: nothing here unpickles.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import filelock
import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.files import PathLike as PathLike
from fashionsearch.files import sync
from fashionsearch.files import write_atomically as write_atomically

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_FRESH = f".{MANIFEST}.new"  # left by killed saves of version 0.1
_LOCK = ".lock"
_GENERATION = re.compile(r"generation-(\d+)")
_DIGEST = re.compile(r"[0-9a-f]{64}")

Writer: TypeAlias = Callable[[Path], None]


@dataclass(frozen=True)
class Saved:
    """One generation of a saved folder, its manifest read.

    Attributes:
        folder: the folder the user named.
        kind: what was saved ("backbone", "classifier", "index").
        generation: the folder of the current generation's files.
        files: name -> {"sha256", "bytes"}.
    """

    folder: Path
    kind: str
    generation: Path
    files: Mapping[str, Mapping[str, Any]]

    def path(self, name: str) -> Path:
        """Return a file's path after comparing its size and SHA-256 with the manifest's.

        Raises:
            CorruptFileError: if the file is missing or isn't what was written.
        """
        path = self.generation / name
        expected = self.files.get(name)
        if expected is None:
            raise errors.CorruptFileError(
                f"{self.folder}: the manifest lists no file {name!r}; save it again"
            )
        try:
            size = path.stat().st_size
            digest = _sha256(path) if size == expected["bytes"] else ""
        except OSError as error:
            raise errors.CorruptFileError(
                f"{path} can't be read: {error.strerror}; restore it from a copy"
            ) from error
        if digest != expected["sha256"]:
            raise errors.CorruptFileError(
                f"{path} is not the file that was saved ({size:,} bytes, {expected['bytes']:,} were written, and the "
                "SHA-256 differs); restore it from a copy"
            )
        return path

    def json(self, name: str) -> Any:
        """Return the content of a verified JSON file."""
        path = self.path(name)
        with _still_there(path):
            return json.loads(path.read_text(encoding="utf-8"))

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of a verified safetensors file."""
        path = self.path(name)
        with _still_there(path):
            return safetensors.numpy.load_file(path)


@contextlib.contextmanager
def _still_there(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise errors.StorageError(
            f"{path} was replaced by newer saves while it was read; load it again"
        ) from error


def write_json(content: Any) -> Writer:
    """Return a writer of a JSON file."""
    text = json.dumps(content, ensure_ascii=True, indent=1, default=_plain)
    return lambda path: _write_text(path, text)


def _plain(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} of type {type(value).__name__} can't be saved")


def write_arrays(arrays: Mapping[str, NDArray[Any]]) -> Writer:
    """Return a writer of a safetensors file of arrays."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return lambda path: safetensors.numpy.save_file(contiguous, path)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def save(folder: PathLike, kind: str, files: Mapping[str, Writer]) -> None:
    """Write a new generation of a folder and make it the current one, atomically.

    Args:
        folder: created if missing; an existing one must be empty or hold the same kind.
        kind: what is saved.
        files: name (may hold "/") -> a function that writes the file at the path it is given.

    Raises:
        StorageError: if the folder holds something else, another process is saving to it, or the disk is full; the
            state before the call is still there.
    """
    root = Path(folder)
    with _written(root):
        root.mkdir(parents=True, exist_ok=True)
        _check_target(root, kind)
        with filelock.FileLock(root / _LOCK, timeout=0):
            _write_generation(root, kind, files)


def check_target(folder: PathLike, kind: str) -> None:
    """Raise what `save` would raise for this folder, before the work that is to be saved.

    Raises:
        StorageError: if the folder holds something else or can't be written.
    """
    root = Path(folder)
    with _written(root):
        root.mkdir(parents=True, exist_ok=True)
        _check_target(root, kind)


@contextlib.contextmanager
def _written(root: Path) -> Iterator[None]:
    try:
        yield
    except filelock.Timeout as error:
        raise errors.StorageError(
            f"{root} is being saved to by another process; wait, or save elsewhere"
        ) from error
    except errors.StorageError:
        raise
    except (OSError, safetensors.SafetensorError) as error:
        raise errors.StorageError(
            f"{root} could not be written: {error}; what was saved there before is unchanged"
        ) from error


def _check_target(root: Path, kind: str) -> None:
    names = {path.name for path in root.iterdir()}  # one look: another process may be making the first save
    if MANIFEST in names:
        current = open_saved(root)
        if current.kind != kind:
            raise errors.StorageError(
                f"{root} holds a saved {current.kind}, which something of kind {kind!r} would replace; choose another folder"
            )
        return
    if _LOCK in names:  # a first save that was killed leaves these
        names = {name for name in names if name not in (_LOCK, _FRESH) and not _GENERATION.fullmatch(name)}
    if names:
        raise errors.StorageError(
            f"{root} is not empty ({min(names)!r} is in it) and holds nothing saved by fashionsearch; "
            "choose another folder"
        )


def _write_generation(root: Path, kind: str, files: Mapping[str, Writer]) -> None:
    numbers = [int(match[1]) for path in root.iterdir() if (match := _GENERATION.fullmatch(path.name))]
    generation = root / f"generation-{max(numbers, default=0) + 1}"
    previous = open_saved(root).generation if (root / MANIFEST).exists() else None
    try:
        entries = {}
        for name, write in files.items():
            path = generation / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path)
            sync(path)
            entries[name] = {"sha256": _sha256(path), "bytes": path.stat().st_size}
        for inner in {path.parent for path in generation.rglob("*")}:
            sync(inner)
        sync(root)
        manifest = {
            "format": "fashionsearch",
            "format_version": FORMAT_VERSION,
            "kind": kind,
            "generation": generation.name,
            "files": entries,
        }
        text = json.dumps(manifest, indent=1)
        write_atomically(root / MANIFEST, lambda file: file.write(text.encode()))
    except Exception:  # not KeyboardInterrupt, which may come when the manifest already names this generation
        if _current(root) != generation:
            shutil.rmtree(generation, ignore_errors=True)
        raise
    with contextlib.suppress(OSError):
        (root / _FRESH).unlink(missing_ok=True)
    for path in root.iterdir():
        if _GENERATION.fullmatch(path.name) and path not in (generation, previous):
            shutil.rmtree(path, ignore_errors=True)


def _current(root: Path) -> Path | None:
    try:
        return open_saved(root).generation
    except errors.StorageError:
        return None


def open_saved(folder: PathLike, kind: str | None = None) -> Saved:
    """Read a saved folder's manifest; each file is verified when it is asked for.

    Raises:
        StorageError: if there is nothing saved, it is of another kind, or a newer version wrote it.
        CorruptFileError: if the manifest is damaged.
    """
    root = Path(folder)
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        version, found = manifest["format_version"], manifest["kind"]
        files, generation = manifest["files"], manifest["generation"]
        _check_types(version, found, files, generation)
    except FileNotFoundError as error:
        raise errors.StorageError(
            f"{root} holds nothing saved by fashionsearch: it has no {MANIFEST}"
        ) from error
    except OSError as error:
        raise errors.StorageError(f"{root / MANIFEST} can't be read: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise errors.CorruptFileError(
            f"{root / MANIFEST} is damaged: {error!r}; restore it from a copy"
        ) from error
    if version > FORMAT_VERSION:
        raise errors.StorageError(
            f"{root} has format version {str(version)[:40]}, and this fashionsearch reads up to {FORMAT_VERSION}; upgrade it"
        )
    unsafe = [name for name in files if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name]
    if unsafe or not _GENERATION.fullmatch(generation):
        raise errors.CorruptFileError(f"{root / MANIFEST} is damaged: it names files outside its folder")
    if kind is not None and found != kind:
        raise errors.StorageError(
            f"{root} holds a saved {found}, not a {kind}; load it with the class that saved it"
        )
    return Saved(root, found, root / generation, files)


def _check_types(version: Any, kind: Any, files: Any, generation: Any) -> None:
    if type(version) is not int or version < 1:
        raise ValueError(f"format_version is {str(version)[:40]}")
    if not isinstance(kind, str) or not isinstance(generation, str):
        raise TypeError("kind and generation are not both text")
    for name, entry in files.items():
        if type(entry["bytes"]) is not int or not _DIGEST.fullmatch(entry["sha256"]):
            raise ValueError(f"size and SHA-256 of {name!r}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        if hasattr(hashlib, "file_digest"):
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
        return digest.hexdigest()

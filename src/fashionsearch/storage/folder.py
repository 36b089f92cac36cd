"""Writing a new generation of a saved folder, and opening the current one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from fashionsearch import errors
from fashionsearch.files import (
    PathLike,
    as_path,
    is_draft,
    lock,
    make_folder,
    open_folder,
    read_regular,
    sync,
    write_atomically,
)
from fashionsearch.storage.saved import Saved, sha256

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_FRESH = f".{MANIFEST}.new"  # left by killed saves of version 0.1
_LOCK = ".lock"
_GENERATION = re.compile(r"generation-(\d+)")
_MAX_MANIFEST = 16 * 2**20
_DIGEST = re.compile(r"[0-9a-f]{64}")

Writer: TypeAlias = Callable[[Path], None]


class LeftOut(Exception):
    """Raised by a writer whose file is not to be there after all."""


def write_bytes(content: bytes) -> Writer:
    """Return a writer of a file with this content."""

    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def save(
    folder: PathLike,
    kind: str,
    files: Mapping[str, Writer],
    *,
    replaces: str | None = None,
    first: bool = False,
) -> None:
    """Write a new generation of a folder and make it the current one, atomically.

    Args:
        folder: created if missing; an existing one must be empty or hold the same kind.
        kind: what is saved.
        files: name (may hold "/") -> a function that writes the file at the path it is given, or raises `LeftOut`.
        replaces: another kind that it may take the place of.
        first: refuse a folder to which something was saved, also at this moment.

    Raises:
        StorageError: if the folder holds something else, another process is saving to it, or the disk is full; the
            state before the call is still there.
    """
    root = as_path(folder)
    with _written(root):
        make_folder(root)
        _check_target(root, kind, replaces)
        with _only_writer(root):
            if first and (root / MANIFEST).exists():
                raise errors.StorageError(f"something was saved to {root} at this moment; open it again")
            _write_generation(root, kind, files)


def check_target(folder: PathLike, kind: str) -> None:
    """Raise what `save` would raise for this folder, before the work that is to be saved.

    Raises:
        StorageError: if the folder holds something else or can't be written.
    """
    root = as_path(folder)
    with _written(root):
        make_folder(root)
        _check_target(root, kind)


@contextlib.contextmanager
def _only_writer(root: Path) -> Iterator[None]:
    import filelock  # which imports asyncio, and most programs only load

    try:
        with filelock.FileLock(root / _LOCK, timeout=0):
            yield
    except filelock.Timeout as error:
        raise errors.StorageError(
            f"{root} is being saved to by another process; wait, or save elsewhere"
        ) from error


@contextlib.contextmanager
def _written(root: Path) -> Iterator[None]:
    try:
        yield
    except errors.StorageError:
        raise
    except OSError as error:
        raise errors.StorageError(
            f"{root} could not be written: {error}; what was saved there before is unchanged"
        ) from error


def _check_target(root: Path, kind: str, replaces: str | None = None) -> None:
    names = {path.name for path in root.iterdir()}  # one look: another process may be making the first save
    if MANIFEST in names:
        current = open_saved(root)
        if current.kind not in (kind, replaces):
            raise errors.StorageError(
                f"{root} holds a saved {current.kind}, which something of kind {kind!r} would replace; choose another folder"
            )
        return
    if _LOCK in names:  # a first save that was killed, or goes on elsewhere, has these
        names = {
            name
            for name in names
            if name not in (_LOCK, _FRESH) and not is_draft(name) and not _GENERATION.fullmatch(name)
        }
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
            try:
                write(path)
            except LeftOut:
                continue
            sync(path)
            with path.open("rb") as file:
                entries[name] = {"sha256": sha256(file), "bytes": path.stat().st_size}
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
    except (
        BaseException
    ):  # Ctrl-C too must leave nothing behind, unless the manifest already names this generation
        if not _is_published(root, generation):
            shutil.rmtree(generation, ignore_errors=True)
        raise
    with contextlib.suppress(OSError):
        (root / _FRESH).unlink(missing_ok=True)
    for path in root.iterdir():
        if _GENERATION.fullmatch(path.name) and path not in (generation, previous):
            _remove_unless_held(path)


def _remove_unless_held(generation: Path) -> None:
    """Remove an old generation, unless somebody is reading it: then a later save does."""
    with contextlib.ExitStack() as held:
        try:
            descriptor = open_folder(generation)
            held.callback(os.close, descriptor)
            lock(descriptor)
        except BlockingIOError:
            return
        except OSError:  # no locks here: readers have the generation before the current one
            pass
        shutil.rmtree(generation, ignore_errors=True)


def _is_published(root: Path, generation: Path) -> bool:
    """Return whether the manifest names a generation, or can't be read, which says nothing against it."""
    try:
        return open_saved(root).generation == generation
    except errors.StorageError:
        return (root / MANIFEST).exists()


def open_saved(folder: PathLike, kind: str | None = None) -> Saved:
    """Read a saved folder's manifest; each file is verified when it is asked for.

    What was opened stays readable for as long as the result lives, whatever is saved to the folder meanwhile.

    Raises:
        StorageError: if there is nothing saved, it is of another kind, or a newer version wrote it.
        CorruptFileError: if the manifest is damaged.
    """
    root = as_path(folder)
    saved = _read_manifest(root)
    while not saved.hold():
        # Two saves since the manifest was read would have removed what it names.
        again = _read_manifest(root)
        if again.generation == saved.generation:
            break
        saved = again
    if kind is not None and saved.kind != kind:
        raise errors.StorageError(
            f"{root} holds a saved {saved.kind}, not a {kind}; load it with the class that saved it"
        )
    return saved


def _read_manifest(root: Path) -> Saved:
    path = root / MANIFEST
    try:
        manifest = json.loads(read_regular(path, _MAX_MANIFEST).decode("utf-8"))
        version, kind = manifest["format_version"], manifest["kind"]
        files, generation = manifest["files"], manifest["generation"]
        _check_types(version, kind, files, generation)
    except FileNotFoundError as error:
        reason = f"it has no {MANIFEST}" if root.exists() else "there is no such folder"
        raise errors.StorageError(f"{root} holds nothing saved by fashionsearch: {reason}") from error
    except PermissionError as error:
        raise errors.StorageError(
            f"{path} can't be read: permission denied; ask its owner to let you read it"
        ) from error
    except OSError as error:
        raise errors.StorageError(f"{path} can't be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise errors.CorruptFileError(f"{path} is damaged: {error!r}; restore it from a copy") from error
    if version > FORMAT_VERSION:
        raise errors.StorageError(
            f"{root} has format version {str(version)[:40]}, and this fashionsearch reads up to {FORMAT_VERSION}; upgrade it"
        )
    unsafe = [name for name in files if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name]
    if unsafe or not _GENERATION.fullmatch(generation):
        raise errors.CorruptFileError(f"{path} is damaged: it names files outside its folder")
    return Saved(root, kind, root / generation, files)


def _check_types(version: Any, kind: Any, files: Any, generation: Any) -> None:
    if type(version) is not int or version < 1:
        raise ValueError(f"format_version is {str(version)[:40]}")
    if not isinstance(kind, str) or not isinstance(generation, str):
        raise TypeError("kind and generation are not both text")
    for name, entry in files.items():
        if type(entry["bytes"]) is not int or not _DIGEST.fullmatch(entry["sha256"]):
            raise ValueError(f"size and SHA-256 of {name!r}")

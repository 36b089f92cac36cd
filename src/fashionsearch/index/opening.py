"""An opened index: its folder made, or recognised, and its engine put together.

```text
manifest.json         kind "opened index"; its generation holds index.json (parameters, and by what the encoder is
                      recognised) and encoder/, which change only where another encoder that embeds alike is set
journal.sqlite        all rows: the truth
changes               the number of the last change, and the lock of whoever writes
learned/              what was learned beside the rows
checkpoint/           what a saved index holds, and at which change: read first, and made again when it doesn't fit
```

The last three lie in a folder items-N where the index was given another encoder; index.json names it (see `relocation`).
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashionsearch import errors, storage
from fashionsearch.encoder import Embeds
from fashionsearch.files import file_system
from fashionsearch.index import encoders, engines, learned
from fashionsearch.index.claim import COUNTER, claim
from fashionsearch.index.engines.base import Engine, Settings
from fashionsearch.index.engines.durable import DurableEngine
from fashionsearch.index.items import PATIENCE
from fashionsearch.index.journal import DATABASE, Journal

OPENED, SAVED = "opened index", "index"
_AT_ONCE = 10_000  # rows that are written in one transaction when a saved index is opened
ITEMS = re.compile(r"items-\d+")
_FAR = ("nfs", "cifs", "smb", "ceph", "gluster", "lustre", "afs", "9p", "fuse.sshfs", "beegfs", "gpfs")


def kind_of(folder: Path) -> str | None:
    """Return what kind of thing a folder holds; None where it holds nothing saved.

    Raises:
        StorageError: if that can't be read.
        CorruptFileError: if it held an opened index, which has lost its manifest.
    """
    try:
        is_there = (folder / storage.MANIFEST).exists()
        is_beheaded = not is_there and (folder / DATABASE).exists()
    except OSError as error:
        raise errors.StorageError(f"{folder} can't be read: {error.strerror or error}") from error
    if is_beheaded:
        raise errors.CorruptFileError(
            f"{folder / storage.MANIFEST} is missing beside {DATABASE}; restore it from a copy"
        )
    return storage.open_saved(folder).kind if is_there else None


def check_local(engine: str | None) -> None:
    """Raise InputError for an engine whose items are on a server, which keeps them by itself."""
    if engine in engines.REMOTE:
        raise errors.InputError(
            f"an opened index keeps its items in a folder, and engine={engine!r} keeps them on a server; make it by "
            "VisualIndex(…, url=…, collection=…), whose every change is kept as well"
        )


def check_near(folder: Path) -> None:
    """Raise StorageError where SQLite's locks can't be trusted: on a file system that other machines write to."""
    kind = file_system(folder)
    if kind is not None and any(far in kind for far in _FAR):
        raise errors.StorageError(
            f"{folder} lies on a network file system ({kind}), where SQLite's locks can't be trusted and an index would be "
            "damaged; open it on a disk of this machine, and copy it there by index.save"
        )


def create(
    folder: Path,
    encoder: Embeds | None,
    parameters: Mapping[str, Any],
    *,
    replaces: str | None = None,
    identity: Mapping[str, Any] | None = None,
    onnx: bool = True,
) -> None:
    """Write what of an opened index is no row.

    Args:
        folder: of the index.
        encoder: of the index, if there is one.
        parameters: what it is made with.
        replaces: the kind of what is saved there already; None refuses a folder with anything.
        identity: by what an encoder that isn't at hand is recognised.
        onnx: as for `VisualIndex.open`.

    Raises:
        StorageError: if the folder holds something else or can't be written.
    """
    files = {} if encoder is None else encoders.writers(encoder, onnx=onnx)
    noted = identity if encoder is None else encoders.identity(encoder)
    files["index.json"] = storage.write_json({**parameters, "encoder": noted})
    storage.save(folder, OPENED, files, replaces=replaces, first=replaces is None)


def keep_encoder(folder: Path, engine: DurableEngine, encoder: Embeds | None) -> None:
    """Keep another encoder in the folder of an opened index, atomically; one that only reads leaves the folder as it is.

    Raises:
        EncoderMismatchError: if the rows came from another one, which is known only by how it embeds.
        StorageError: if it can't be written; the folder has the one before.
    """
    with engine.changing:
        if not engine.is_writing:
            return
        config = storage.open_saved(folder, OPENED).json("index.json")
        held = config["encoder"]
        if encoder is not None and held is not None and held["fingerprint"] is None and len(engine):
            encoders.check_same(encoder, held, f"{folder} holds")
        if held != (None if encoder is None else encoders.identity(encoder)):
            create(folder, encoder, config, replaces=OPENED)


def convert(
    folder: Path,
    generation: Path,
    engine: Engine,
    encoder: Embeds | None,
    parameters: Mapping[str, Any],
    parts: Mapping[str, learned.Part],
    *,
    onnx: bool = True,
) -> None:
    """Make a saved index, whose generation has been loaded, an opened one; until the manifest is renamed it stays saved.

    Raises:
        StorageError: if it can't be written, or somebody else opened it meanwhile; the saved index is as it was.
    """
    counter = claim(folder)
    try:
        saved = storage.open_saved(folder, SAVED)
        if saved.generation != generation:
            raise errors.StorageError(
                f"{folder} was saved to or opened elsewhere at this moment; open it again"
            )
        for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"):  # of an attempt that was interrupted
            (folder / name).unlink(missing_ok=True)
        os.truncate(counter, 0)
    except OSError as error:
        os.close(counter)
        raise errors.StorageError(
            f"{folder} can't be written: {error}; the saved index is as it was"
        ) from error
    except BaseException:
        os.close(counter)
        raise
    with contextlib.closing(Journal(folder, engine.settings.dim, counter=counter)) as journal:
        ids = list(engine)
        for start in range(0, len(ids), _AT_ONCE):
            journal.upsert(engine.fetch(ids[start : start + _AT_ONCE]))
        journal.note_next_id(engine.next_id)
        if parts or (folder / learned.FOLDER).exists():  # of an attempt that was interrupted
            learned.keep(folder, parts)
        held = saved.json("index.json")["encoder"]
        create(folder, encoder, parameters, replaces=SAVED, identity=held, onnx=onnx)


def check_same(folder: Path, given: Mapping[str, Any], made_with: Mapping[str, Any]) -> None:
    """Raise InputError for an option that is another than the index was made with."""
    for name, value in given.items():
        if name not in ("ef_search", "recall") and value != made_with[name]:
            raise errors.InputError(
                f"{folder} was made with {name}={made_with[name]!r}, and {name}={value!r} is asked for; leave it out, or "
                "make another index"
            )


def items_of(config: Mapping[str, Any]) -> str:
    """Return the name of the folder in an opened index's folder that holds its rows; "" for that folder itself.

    Raises:
        ValueError: if index.json names anything else.
    """
    name = config.get("items", "")
    if name != "" and not (isinstance(name, str) and ITEMS.fullmatch(name)):
        raise ValueError("index.json names no folder of items")
    return str(name)


def start(
    folder: Path,
    generation: Path,
    name: str,
    settings: Settings,
    *,
    items: str = "",
    read_only: bool,
    rebuild: bool,
) -> DurableEngine:
    """Return the engine of an opened index, its memory filled.

    Raises:
        StorageError: if it is open for writing elsewhere, or can't be read.
        CorruptFileError: if its journal is damaged.
    """
    counter = None if read_only else claim(folder / items)
    try:
        if storage.open_saved(folder, OPENED).generation != generation:
            raise errors.StorageError(f"{folder} was made anew elsewhere at this moment; open it again")
    except BaseException:
        if counter is not None:
            os.close(counter)
        raise
    return filled(folder / items, name, settings, counter, rebuild=rebuild)


def filled(
    folder: Path, name: str, settings: Settings, counter: int | None, *, rebuild: bool
) -> DurableEngine:
    """Return the engine of the rows in a folder, its memory filled.

    Args:
        folder: which holds the journal.
        name: of the engine.
        settings: of the index.
        counter: what `claim` returned; None only reads.
        rebuild: as for `VisualIndex.open`.

    Raises:
        StorageError: if it can't be read.
        CorruptFileError: if its journal is damaged.
    """
    journal = Journal(folder, settings.dim, counter=counter)
    try:
        if journal.lost:
            warnings.warn(
                f"{folder} has lost its last {journal.lost:,} changes, which the file {COUNTER} knows of: {DATABASE}-wal is "
                "damaged or missing; the index is as it was before them",
                errors.DataWarning,
                stacklevel=5,
            )
        engine = DurableEngine(settings, engines.GRAPHS[name], folder, journal, read_only=counter is None)
        engine.start(rebuild=rebuild)
        if not engine.is_loading:
            engine.settle(PATIENCE)
    except BaseException:
        journal.close()
        raise
    return engine

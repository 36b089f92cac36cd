"""The folder of an opened index that is being given another encoder.

```text
manifest.json, generation-N/, journal.sqlite, changes, checkpoint/, learned/     the index as it was, which stays the truth
migration/            a saved folder: index.json (by what the new encoder is recognised, the map, the report, where photos
                      are), map.safetensors and encoder/; without a map it only says what items-2 was begun for
items-2/              journal.sqlite, changes, checkpoint/ and learned/ of the new vectors
```

The end is one rename: the index's manifest then names the new encoder and items-2, and what is left of the old is removed.
Giving up begins with the removal of migration/manifest.json. Whatever is left behind by a kill is removed by the next
migration, or by the next opening for writing.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.device import Execution
from fashionsearch.encoder import Embeds
from fashionsearch.index import encoders, learned, opening, snapshot
from fashionsearch.index.claim import COUNTER
from fashionsearch.index.engines.durable import CHECKPOINT
from fashionsearch.index.journal import DATABASE
from fashionsearch.index.mapping import SpaceMap

FOLDER, _KIND, _MAP = "migration", "migration", "map.safetensors"
BY_SOURCE, GIVEN = "sources", "given"  # where photos are, beside a folder's path
_OF_ITEMS = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", COUNTER)


@dataclass(frozen=True, eq=False)
class Note:
    """What a folder notes of a migration.

    Attributes:
        identity: by what the new encoder is recognised.
        items: the folder of the new vectors.
        photos: BY_SOURCE, GIVEN for photos that only the caller can give again, or the path of a folder.
        mapping: from the old vectors to the new ones, once it was learned.
        report: of the map, as JSON holds it.
        saved: the folder that holds all this, once it is written.
    """

    identity: Mapping[str, Any]
    items: str
    photos: str
    mapping: SpaceMap | None = None
    report: Mapping[str, Any] | None = None
    saved: storage.Saved | None = None

    @property
    def dim(self) -> int:
        """Length of a new vector."""
        return int(self.identity["dim"])


def read(root: Path, config: Mapping[str, Any]) -> Note | None:
    """Return what an opened index's folder notes of a migration that hasn't ended.

    Args:
        root: the folder.
        config: its index.json.

    Raises:
        CorruptFileError: if the note is damaged.
    """
    if not (root / FOLDER / storage.MANIFEST).exists():
        return None
    with snapshot.reading(root / FOLDER, _KIND) as (saved, noted):
        note = Note(noted["encoder"], opening.items_of(noted), str(noted["photos"]), saved=saved)
        if not note.items or note.items == opening.items_of(config):
            return None
        if noted["map"] is not None:
            shape = int(config["dim"]), note.dim
            mapping = SpaceMap.from_state(noted["map"], saved.arrays(_MAP), shape)
            note = replace(note, mapping=mapping, report=dict(noted["report"]))
        return note


def encoder_of(
    note: Note | None, encoder: Embeds | None, execution: Execution, *, rebuild: bool = False
) -> tuple[Note, Embeds | None] | None:
    """Return the note with the new encoder, if an index is to be opened with that: where that or none is given.

    `rebuild` is as for `VisualIndex.open`.
    The encoder is None where none is given and it is of the user's own class.
    """
    if note is None or note.mapping is None or note.saved is None:
        return None
    try:
        return note, encoders.restore(note.saved, note.identity, encoder, execution, rebuild=rebuild)
    except errors.EncoderMismatchError:
        return None  # the index as it was


def begin(root: Path, config: Mapping[str, Any], encoder: Embeds, photos: str) -> Note:
    """Note that new vectors are to come, and make their folder; what an earlier attempt left is removed.

    Raises:
        StorageError: if it can't be written.
    """
    current = opening.items_of(config)
    tidy(root, current)
    number = int(current.rpartition("-")[2] or 1) + 1
    note = Note(encoders.identity(encoder), f"items-{number}", photos)
    try:
        (root / note.items).mkdir()
    except OSError as error:
        raise errors.StorageError(f"{root / note.items} can't be made: {error.strerror or error}") from error
    write(root, note, encoder)
    return note


def write(root: Path, note: Note, encoder: Embeds | None) -> None:
    """Write the note, atomically.

    Args:
        root: the folder of the opened index.
        note: to be written.
        encoder: the new one; None copies what was noted of it.

    Raises:
        StorageError: if it can't be written; the note before is still there.
    """
    known = kept(note, encoder)
    files = {} if known is None else encoders.writers(known)
    arrays: dict[str, NDArray[np.float32]] = {}
    config: dict[str, Any] | None = None
    if note.mapping is not None:
        config, arrays = note.mapping.state()
        files[_MAP] = storage.write_arrays(arrays)
    content = {"encoder": note.identity, "items": note.items, "photos": note.photos, "map": config}
    files["index.json"] = storage.write_json({**content, "report": note.report})
    storage.save(root / FOLDER, _KIND, files)


def adopt(root: Path, note: Note, encoder: Embeds | None) -> None:
    """Make the new encoder and its vectors those of the index, by one rename; `tidy` removes the old ones.

    Raises:
        StorageError: if it can't be written; the migration goes on.
    """
    config = config_of(root)
    changed = {**config, "dim": note.dim, "items": note.items}
    opening.create(root, kept(note, encoder), changed, replaces=opening.OPENED, identity=note.identity)


def cancel(root: Path) -> None:
    """End a migration: it has never been from the moment on at which its manifest is gone.

    Raises:
        StorageError: if that can't be removed; the migration goes on.
    """
    try:
        (root / FOLDER / storage.MANIFEST).unlink(missing_ok=True)
    except OSError as error:
        raise errors.StorageError(f"{root / FOLDER} can't be removed: {error.strerror or error}") from error


def config_of(root: Path) -> dict[str, Any]:
    """Return the content of an opened index's index.json.

    Raises:
        StorageError: if it can't be read.
    """
    with snapshot.reading(root, opening.OPENED) as (_, config):
        return config


def tidy(root: Path, current: str) -> None:
    """Remove what no index uses once no migration is under way: rows in other folders than the current one.

    Args:
        root: the folder of the opened index, which nobody else writes to.
        current: the folder in it of its rows.
    """
    shutil.rmtree(root / FOLDER, ignore_errors=True)
    for path in root.iterdir():
        if opening.ITEMS.fullmatch(path.name) and path.name != current:
            shutil.rmtree(path, ignore_errors=True)
    if current:
        for name in (CHECKPOINT, learned.FOLDER):
            shutil.rmtree(root / name, ignore_errors=True)
        for name in _OF_ITEMS:
            with contextlib.suppress(OSError):  # as rmtree: what stays is removed by the next opening
                (root / name).unlink(missing_ok=True)


def kept(note: Note, encoder: Embeds | None) -> Embeds | None:
    """Return what writes the new encoder, also where it isn't at hand."""
    if encoder is None and note.saved is not None:
        return encoders.Unread(note.saved, note.identity)
    return encoder

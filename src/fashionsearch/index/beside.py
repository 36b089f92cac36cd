"""A second engine beside that of an index, for the vectors of another encoder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fashionsearch import errors
from fashionsearch.encoder import Embeds
from fashionsearch.index import encoders, engines, opening, relocation
from fashionsearch.index.claim import claim
from fashionsearch.index.engines.base import Engine, Settings
from fashionsearch.index.engines.durable import DurableEngine
from fashionsearch.index.rows import Rows

_BASE, _WORD = 36, 12  # letters, since PostgreSQL's names are short
_ENDING = re.compile(r"__\w{1,12}$")  # of a collection that was made so


def beside(
    old: Engine, name: str, root: Path | None, encoder: Embeds, photos: str
) -> tuple[Engine, relocation.Note | None]:
    """Return an engine for the vectors of another encoder, and of an opened index what its folder notes of that.

    What an interrupted migration to this encoder has left is in it.

    Args:
        old: the engine of the index.
        name: of the engine.
        root: the folder of an opened index; None of any other.
        encoder: the new one.
        photos: what is noted of where photos are.

    Raises:
        InputError: if the index only reads, or its vectors can't be held so.
        EncoderMismatchError: if a migration to another encoder is under way.
        StorageError: if it can't be made.
    """
    settings = replace(old.settings, dim=int(encoder.dim))
    engines.check_storage(settings.storage, name, settings.dim)
    if isinstance(old, DurableEngine) and root is not None:
        return _in_folder(old, name, root, encoder, photos, settings)
    if settings.server is None:
        return _numbered(engines.ENGINES[name](settings), old), None
    identity = encoders.identity(encoder)
    settings = replace(
        settings,
        server=replace(settings.server, collection=_collection(settings.server.collection, identity)),
    )
    new = engines.beside_on_server(old, name, settings)
    held = new.identity(identity)
    if held is not None:
        encoders.check_same(encoder, held, "the collection of the migration holds")
    return _numbered(new, old), None


def reopened(
    root: Path, note: relocation.Note, name: str, settings: Settings, *, read_only: bool, rebuild: bool
) -> DurableEngine:
    """Return the engine of a migration's vectors in an opened index's folder.

    Raises:
        StorageError: if it can't be read.
    """
    place, counter = root / note.items, None
    if not read_only:
        counter = claim(place)
    return opening.filled(place, name, replace(settings, dim=note.dim), counter, rebuild=rebuild)


def _in_folder(
    old: DurableEngine, name: str, root: Path, encoder: Embeds, photos: str, settings: Settings
) -> tuple[Engine, relocation.Note]:
    if not old.is_writing:
        raise errors.InputError(f"{root} was opened with read_only=True, or is closed; open it to change it")
    config = relocation.config_of(root)
    note = relocation.read(root, config)
    if note is None:
        note = relocation.begin(root, config, encoder, photos)
    else:
        encoders.check_same(encoder, note.identity, f"a migration is under way in {root}, which")
        note = replace(note, photos=photos)
    return _numbered(reopened(root, note, name, settings, read_only=False, rebuild=False), old), note


def _collection(name: str, identity: Mapping[str, Any]) -> str:
    """Return the name of a collection for an encoder's vectors, always the same."""
    known = identity["fingerprint"] or f"{identity['dim']}_{identity['name']}"
    word = re.sub(r"\W+", "_", str(known))[:_WORD]
    return f"{re.sub(_ENDING, '', name)[:_BASE]}__{word}"


def _numbered(new: Engine, old: Engine) -> Engine:
    """Let an engine number on from where another stands."""
    if old.id_kind is int and old.next_id > new.next_id:
        row = Rows([old.next_id - 1], np.ones((1, new.settings.dim), np.float32), [{}], [None])
        with new.changing:
            new.upsert(row)
            new.delete(row.ids)
    return new

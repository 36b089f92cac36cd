"""A second engine beside that of an index, for the vectors of another encoder."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fashionsearch import errors
from fashionsearch.encoder import Embeds
from fashionsearch.index import encoders, engines, opening, relocation
from fashionsearch.index.claim import claim
from fashionsearch.index.engines.base import Engine, Server, Settings
from fashionsearch.index.engines.durable import DurableEngine
from fashionsearch.index.rows import PRIVATE, Rows

_BASE, _WORD = 36, 12  # letters, since PostgreSQL's names are short
_ENDING = re.compile(rf"(?:__[0-9a-f]{{{_WORD}}})+$")  # of a collection that was made so
_BEGUN, _OF, _RUN = (
    "migration",
    "of",
    "run",
)  # beside the encoder's identity: whose new vectors a collection holds
_ENDED = f"{PRIVATE}ended "  # begins a field's name, which a collection keeps: its migration, of that run, is finished


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
        InputError: if the index only reads, its vectors can't be held so, or the collection for them holds others.
        EncoderMismatchError: if a migration to another encoder is under way.
        StorageError: if it can't be made.
    """
    settings = replace(old.settings, dim=int(encoder.dim))
    engines.check_storage(settings.storage, name, settings.dim)
    if isinstance(old, DurableEngine) and root is not None:
        return _in_folder(old, name, root, encoder, photos, settings)
    if settings.server is None:
        return _numbered(engines.ENGINES[name](settings), old), None
    return _on_server(old, name, encoder, settings, settings.server), None


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
    if note is not None:
        try:
            encoders.check_same(encoder, note.identity, f"a migration is under way in {root}, which")
        except errors.EncoderMismatchError:
            if note.mapping is not None:
                raise
            note = None  # it failed before there was a map, so the index has never had that encoder
    note = relocation.begin(root, config, encoder, photos) if note is None else replace(note, photos=photos)
    return _numbered(reopened(root, note, name, settings, read_only=False, rebuild=False), old), note


def _on_server(old: Engine, name: str, encoder: Embeds, settings: Settings, server: Server) -> Engine:
    identity = encoders.identity(encoder)
    collection = _collection(server.collection, identity)
    settings = replace(settings, server=replace(server, collection=collection))
    new = engines.beside_on_server(old, name, settings)
    try:
        begun = {_BEGUN: {_OF: server.collection, _RUN: secrets.token_hex(4)}}
        held = new.identity({**identity, **begun})  # which an empty collection takes over
        if _of(held) != server.collection or is_ended(new):
            raise errors.InputError(
                f"the collection {collection!r} is to take the new vectors, and holds {len(new):,} items that are of no "
                "migration of this index; remove that collection, or give the items there another one by copy_to"
            )
        if held is not None:
            encoders.check_same(encoder, held, "the collection of the migration holds")
        return _numbered(new, old)
    except BaseException:
        new.close()
        raise


def _collection(name: str, identity: Mapping[str, Any]) -> str:
    """Return the name of a collection for an encoder's vectors: always the same, and another for each index."""
    known = identity["fingerprint"], identity["dim"], identity["name"]
    word = hashlib.sha256(json.dumps([name, *known]).encode()).hexdigest()[:_WORD]
    return f"{re.sub(_ENDING, '', name)[:_BASE]}__{word}"


def _of(held: Mapping[str, Any] | None) -> str | None:
    """Return whose migration filled a collection, by what that holds beside the identity of its encoder."""
    begun = None if held is None else held.get(_BEGUN)
    return begun.get(_OF) if isinstance(begun, Mapping) else None


def is_ended(new: Engine) -> bool:
    """Return whether the migration to a collection that holds items is finished, by this process or another."""
    held = new.identity(None)
    if _of(held) is None or held is None or not len(new):
        return False
    try:
        new.check_field(f"{_ENDED}{held[_BEGUN][_RUN]}", "migrate")
    except errors.InputError:
        return False
    return True


def end(new: Engine) -> None:
    """Note in a server's collection that its items are an index's own from now on.

    Raises:
        StorageError: if it can't be written.
    """
    held = new.identity(None)
    if _of(held) is None or held is None:
        return
    with new.changing:
        for item in list(new)[:1]:
            new.update(item, {f"{_ENDED}{held[_BEGUN][_RUN]}": True})
            return
        new.identity({name: value for name, value in held.items() if name != _BEGUN})


def _numbered(new: Engine, old: Engine) -> Engine:
    """Let an engine number on from where another stands."""
    if old.id_kind is int and old.next_id > new.next_id:
        row = Rows([old.next_id - 1], np.ones((1, new.settings.dim), np.float32), [{}], [None])
        with new.changing:
            new.upsert(row)
            new.delete(row.ids)
    return new

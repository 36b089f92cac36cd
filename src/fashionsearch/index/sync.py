"""An index kept in step with a folder of photos: only what is new or changed is embedded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.datasets import load_folder
from fashionsearch.index import encoders
from fashionsearch.index.rows import PRIVATE, Id, Rows, check_ids, check_vectors, metadata_rows
from fashionsearch.results import Synced

if TYPE_CHECKING:
    from fashionsearch.cache import EmbeddingCache
    from fashionsearch.datasets.table import Table
    from fashionsearch.encoder import Embeds
    from fashionsearch.index.engines.base import Engine

_STAMP = f"{PRIVATE}file"  # size, times and digest of the file that an item's vector was made of
_AT_ONCE = 500  # photos that are embedded before they are written: what a crash takes away
_BLOCK = 2**20


@dataclass(frozen=True)
class _Wanted:
    """An item as it is to be.

    Attributes:
        item: its id.
        path: of its photo.
        metadata: the table's; without a table what the item has.
        state: of the file, without its digest; "" where that can't be told.
        stamp: what is noted of the file that the item's vector was made of; "" for a new item.
        held: what the item's metadata are now, the stamp among them.
    """

    item: Id
    path: Path
    metadata: Mapping[str, Any]
    state: str
    stamp: str
    held: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Of the file that the item's vector was made of."""
        return self.stamp.partition("#")[2]

    def stamped(self, digest: str) -> dict[str, Any]:
        """Return the metadata with what is to be noted of the file."""
        return {**self.metadata, _STAMP: f"{self.state}#{digest}"}


def sync(
    engine: Engine,
    encoder: Embeds,
    photos: str | os.PathLike[str],
    table: Table | None,
    cache: EmbeddingCache | None,
) -> Synced:
    """Bring an engine's items in step with a folder, or with a table's photos.

    Raises:
        DataError: if the folder holds no photo.
        InputError: if the table's photos are no files, or its ids can't be this index's.
    """
    listed = _listed(engine, photos, table)
    wanted = [each for each in listed if each.path.exists()]
    missing = tuple(
        errors.ImageFailure(place, str(each.path), "there is no such file")
        for place, each in enumerate(listed)
        if not each.path.exists()
    )
    fresh, again, kept = [], [], 0
    for each in wanted:
        if each.item not in engine:
            fresh.append(each)
        elif not each.state or (each.stamp.partition("#")[0] != each.state and not _is_same(each)):
            again.append(each)
        else:
            kept += 1
            if dict(each.held) != each.stamped(each.digest):
                _relabel(engine, each)
    names = {each.item for each in wanted}
    gone = [item for item in engine if item not in names and _is_ours(engine, item)]
    if gone:
        with engine.changing:
            engine.delete([item for item in gone if item in engine])
    added, failed = _embed(engine, encoder, fresh, cache)
    changed, failed_again = _embed(engine, encoder, again, cache)
    return Synced(added, changed, tuple(gone), kept, (*missing, *failed, *failed_again))


def _listed(engine: Engine, photos: str | os.PathLike[str], table: Table | None) -> list[_Wanted]:
    rows = load_folder(photos, labelled=False) if table is None else table
    paths = [Path(image).expanduser() for image in rows.images if isinstance(image, str | Path)]
    if len(paths) < len(rows):
        raise errors.InputError(
            f"the photos of {rows.name!r} are not all files, which alone can be kept in step with; use add"
        )
    ids = check_ids(rows["id"].tolist(), len(rows), engine.id_kind, engine.next_id)
    metadata = metadata_rows(None if table is None else table.metadata, len(rows))
    found = []
    for item, path, fields in zip(ids, paths, metadata, strict=True):
        held = engine.fetch([item]).metadata[0] if item in engine else {}
        if table is None:
            fields = {name: value for name, value in held.items() if name != _STAMP}
        found.append(_Wanted(item, path, fields, _state(path), str(held.get(_STAMP, "")), held))
    return found


def _state(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def _digest(path: Path) -> str:
    try:
        digest = hashlib.blake2b(digest_size=16)
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def _is_same(each: _Wanted) -> bool:
    """Return whether a file that was touched, or moved with its folder, holds what it held."""
    return bool(each.digest) and _digest(each.path) == each.digest


def _relabel(engine: Engine, each: _Wanted) -> None:
    """Give an item whose photo is as it was the metadata that it has now."""
    with engine.changing:
        known = engine.fetch([each.item])
        engine.upsert(replace(known, metadata=[each.stamped(each.digest)], sources=[str(each.path)]))


def _is_ours(engine: Engine, item: Id) -> bool:
    return _STAMP in engine.fetch([item]).metadata[0]


def _embed(
    engine: Engine, encoder: Embeds, wanted: Sequence[_Wanted], cache: EmbeddingCache | None
) -> tuple[tuple[Id, ...], tuple[errors.ImageFailure, ...]]:
    done: list[Id] = []
    failed: list[errors.ImageFailure] = []
    for start in range(0, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]
        paths = [each.path for each in part]
        vectors, positions, sources, failures = encoders.embed_all(encoder, paths, "skip", cache)
        rows = [part[position] for position in positions]
        # A file that was written to meanwhile gets no state, and so is looked at again the next time.
        metadata = [
            each.stamped(_digest(each.path))
            if each.state and _state(each.path) == each.state
            else {**each.metadata, _STAMP: "#"}
            for each in rows
        ]
        ids = [each.item for each in rows]
        with engine.changing:
            engine.upsert(Rows(ids, check_vectors(vectors, engine.settings.dim), metadata, sources))
        done += ids
        failed += [
            errors.ImageFailure(start + failure.position, failure.source, failure.reason)
            for failure in failures
        ]
    return tuple(done), tuple(failed)

"""An index kept in step with a folder of photos: only what is new or changed is embedded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fashionsearch import errors
from fashionsearch.datasets import load_folder
from fashionsearch.files import as_path
from fashionsearch.index import encoders
from fashionsearch.index.codec import same
from fashionsearch.index.engines.base import Engine, fetch_present
from fashionsearch.index.holding import OtherEncoderError
from fashionsearch.index.rows import PRIVATE, Id, Rows, check_ids, check_vectors, metadata_rows
from fashionsearch.results import Synced
from fashionsearch.storage.saved import sha256

if TYPE_CHECKING:
    from fashionsearch.cache import EmbeddingCache
    from fashionsearch.datasets.table import Table
    from fashionsearch.encoder import Embeds

_STAMP = f"{PRIVATE}file"  # size, times and digest of the file that an item's vector was made of
_AT_ONCE = 500  # photos that are embedded before they are written: what a crash takes away


@dataclass(frozen=True)
class _Wanted:
    """An item as it is to be.

    Attributes:
        item: its id.
        path: of its photo.
        metadata: the table's; None without a table: the item keeps what it has.
        state: of the file, without its digest; "" where that can't be told.
        stamp: what is noted of the file that the item's vector was made of; "" for a new item.
        held: what the item's metadata are now, the stamp among them; None for a new item.
        has_moved: whether the item's photo was another file.
    """

    item: Id
    path: Path
    metadata: Mapping[str, Any] | None
    state: str
    stamp: str
    held: Mapping[str, Any] | None
    has_moved: bool

    @property
    def digest(self) -> str:
        """Of the file that the item's vector was made of."""
        return self.stamp.partition("#")[2]

    def stamped(self, digest: str, held: Mapping[str, Any]) -> dict[str, Any]:
        """Return the metadata, those that the item has now where there is no table, with what is to be noted of the file."""
        fields = held if self.metadata is None else self.metadata
        return {**fields, _STAMP: f"{self.state if digest else ''}#{digest}"}


class Host(Protocol):
    """The index that is kept in step."""

    _engine: Engine

    def _required_encoder(self, purpose: str) -> Embeds: ...

    def _seeing(self, encoder: Embeds) -> Embeds: ...

    def _changing(self) -> AbstractContextManager[Engine]: ...

    def _held_for(self, encoder: Embeds | None) -> AbstractContextManager[Engine]: ...


def sync(
    host: Host,
    photos: str | os.PathLike[str],
    table: Table | None,
    cache: EmbeddingCache | None,
) -> Synced:
    """Bring an index's items in step with a folder, or with a table's photos.

    Raises:
        DataError: if the folder holds no photo.
        InputError: if the table's photos are no files, or its ids can't be this index's.
    """
    engine = host._engine
    listed, unseen = _listed(engine, photos, table), _unseen(photos) if table is None else []
    wanted, missing = [], []
    for place, each in enumerate(listed):
        if each.path.exists():
            wanted.append(each)
        else:
            missing.append(errors.ImageFailure(place, str(each.path), "there is no such file"))
    fresh, again, relabelled, kept = [], [], [], 0
    for each in wanted:
        if each.held is None:
            fresh.append(each)
        elif not each.state or (each.stamp.partition("#")[0] != each.state and not _is_same(each)):
            again.append(each)
        else:
            kept += 1
            if not same(each.held or {}, each.stamped(each.digest, each.held)) or each.has_moved:
                relabelled.append(each)
    for start in range(0, len(relabelled), _AT_ONCE):
        _relabel(host, relabelled[start : start + _AT_ONCE])
    names = {each.item for each in wanted}
    # What lies in a folder that can't be looked into is not known to be gone.
    prefixes = tuple(f"{folder}/" for folder, _ in unseen)
    gone = _ours(
        engine,
        [item for item in engine if item not in names and not (prefixes and str(item).startswith(prefixes))],
    )
    with host._changing() as engine:
        gone = [item for item in gone if item in engine]
        if gone:
            engine.delete(gone)
    added, failed = _embed(host, fresh, cache)
    changed, failed_again = _embed(host, again, cache)
    closed = tuple(errors.ImageFailure(place, folder, why) for place, (folder, why) in enumerate(unseen))
    return Synced(added, changed, tuple(gone), kept, (*closed, *missing, *failed, *failed_again))


def _unseen(photos: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Return the folders, as paths in the folder of photos, that can't be looked into, and why."""
    root, found = as_path(photos), []

    def note(error: OSError) -> None:
        inside = os.path.relpath(error.filename, root)
        found.append((Path(inside).as_posix(), error.strerror or "can't be read"))

    for _ in os.walk(root, onerror=note):
        pass
    return found


def _listed(engine: Engine, photos: str | os.PathLike[str], table: Table | None) -> list[_Wanted]:
    rows = load_folder(photos, labelled=False) if table is None else table
    paths = [Path(image).expanduser() for image in rows.images if isinstance(image, str | Path)]
    if len(paths) < len(rows):
        raise errors.InputError(
            f"the photos of {rows.name!r} are not all files, which alone can be kept in step with; use add"
        )
    ids = check_ids(rows["id"].tolist(), len(rows), engine.id_kind, engine.next_id)
    metadata = metadata_rows(None if table is None else table.metadata, len(rows))
    there = set(engine)
    known = {
        item: (held, source)
        for rows_known in _fetched(engine, [item for item in ids if item in there])
        for item, held, source in zip(rows_known.ids, rows_known.metadata, rows_known.sources, strict=True)
    }
    found = []
    for item, path, fields in zip(ids, paths, metadata, strict=True):
        held, source = known.get(item, (None, None))
        stamp = str((held or {}).get(_STAMP, ""))
        moved = held is not None and source != str(path)
        found.append(_Wanted(item, path, None if table is None else fields, _state(path), stamp, held, moved))
    return found


def _fetched(engine: Engine, ids: Sequence[Id]) -> Iterator[Rows]:
    """Yield the rows of ids, many at once: an engine may be far away."""
    for start in range(0, len(ids), _AT_ONCE):
        yield fetch_present(engine, ids[start : start + _AT_ONCE])


def _state(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return sha256(file)
    except OSError:
        return ""


def _is_same(each: _Wanted) -> bool:
    """Return whether a file that was touched, or moved with its folder, holds what it held."""
    return bool(each.digest) and _digest(each.path) == each.digest


def _relabel(host: Host, wanted: Sequence[_Wanted]) -> None:
    """Give items whose photos are as they were the metadata that they are to have now."""
    with host._changing() as engine:
        there = {each.item: each for each in wanted if each.item in engine}
        known = engine.fetch(list(there))
        chosen = [there[item] for item in known.ids]
        metadata = [
            each.stamped(each.digest, held) for each, held in zip(chosen, known.metadata, strict=True)
        ]
        if chosen:
            engine.upsert(replace(known, metadata=metadata, sources=[str(each.path) for each in chosen]))


def _ours(engine: Engine, ids: Sequence[Id]) -> list[Id]:
    """Return the ids of items that were synced."""
    return [
        item
        for rows in _fetched(engine, ids)
        for item, held in zip(rows.ids, rows.metadata, strict=True)
        if _STAMP in held
    ]


def _embed(
    host: Host, wanted: Sequence[_Wanted], cache: EmbeddingCache | None
) -> tuple[tuple[Id, ...], tuple[errors.ImageFailure, ...]]:
    done: list[Id] = []
    failed: list[errors.ImageFailure] = []
    for start in range(0, len(wanted), _AT_ONCE):
        part, found = wanted[start : start + _AT_ONCE], None
        while found is None:
            with contextlib.suppress(OtherEncoderError):  # these photos are embedded again then
                found = _embed_some(host, part, cache)
        done += found[0]
        failed += [
            errors.ImageFailure(start + failure.position, failure.source, failure.reason)
            for failure in found[1]
        ]
    return tuple(done), tuple(failed)


def _embed_some(
    host: Host, wanted: Sequence[_Wanted], cache: EmbeddingCache | None
) -> tuple[list[Id], tuple[errors.ImageFailure, ...]]:
    """Embed photos and write them, all at once.

    Raises:
        OtherEncoderError: if the index was given another encoder meanwhile; nothing is written.
    """
    encoder = host._required_encoder("embed photos")
    paths = [each.path for each in wanted]
    vectors, positions, sources, failures = encoders.embed_all(host._seeing(encoder), paths, "skip", cache)
    rows = [wanted[position] for position in positions]
    # A file that was written to meanwhile gets no stamp, and so is looked at again the next time. Its digest is of what
    # was embedded only if it has the same state after that was read.
    digests = [_digest(each.path) for each in rows]
    digests = [
        mark if each.state and _state(each.path) == each.state else ""
        for each, mark in zip(rows, digests, strict=True)
    ]
    ids = [each.item for each in rows]
    checked = check_vectors(vectors, int(encoder.dim))
    with host._held_for(encoder) as engine:  # an update that came meanwhile stays
        there = fetch_present(engine, [item for item in ids if item in engine])
        known = dict(zip(there.ids, there.metadata, strict=True))
        held = [known.get(item, {}) for item in ids]
        metadata = [
            each.stamped(mark, fields) for each, mark, fields in zip(rows, digests, held, strict=True)
        ]
        if ids:
            engine.upsert(Rows(ids, checked, metadata, sources))
    return ids, failures

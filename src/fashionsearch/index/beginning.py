"""How a migration begins, and how it comes back with the folder of an opened index."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.encoder import Embeds
from fashionsearch.index import encoders, learned, measuring, relocation
from fashionsearch.index.beside import beside, reopened
from fashionsearch.index.engines.base import fetch_present
from fashionsearch.index.engines.migrating import MigratingEngine
from fashionsearch.index.engines.noted import fitting, picked
from fashionsearch.index.mapping import SpaceMap, learn
from fashionsearch.index.migration import Before, Host, Migration
from fashionsearch.index.photos import Photos
from fashionsearch.index.reembedding import embedded
from fashionsearch.index.rows import Rows, check_number
from fashionsearch.results import MigrationReport

if TYPE_CHECKING:
    from fashionsearch.cache import EmbeddingCache

_FEW = 50  # items that are all embedded before the call returns
_LEAST = 20  # pairs without which there is no map
_MOST_PAIRS = 1_000_000
_AT_ONCE = 100
_COMPARED = 1000

Vectors = NDArray[np.float32]


def migrate(
    host: Host,
    encoder: Embeds | str,
    photos: Mapping[Any, Any] | str | Path | None,
    *,
    pairs: int,
    field: str | None,
    random_state: int,
    cache: EmbeddingCache | None,
) -> Migration:
    """Give an index another encoder; what the arguments are says `VisualIndex.migrate`."""
    chosen, going = encoders.named(encoder), host._migration
    if chosen is None:
        raise errors.InputError("encoder=None embeds nothing; give the new encoder")
    encoders.check(chosen)
    found = Photos(photos, host.background)
    if going is not None:
        going.check_encoder(chosen)
        host._encoder = chosen
        going.start(photos, cache=cache)
        return going
    _check(host, chosen, field)
    pairs = check_number("pairs", pairs, low=_LEAST, high=_MOST_PAIRS)
    old, before = host._engine, host._encoder
    kept_as = relocation.GIVEN if found.are_given else str(found.folder or relocation.BY_SOURCE)
    new, note = beside(old, host.engine, host._folder, chosen, kept_as)
    engine = MigratingEngine(old, new, SpaceMap.nothing(old.settings.dim, int(chosen.dim)))
    try:
        _put_right(engine, shown=host.progress)
        rows, vectors = _sampled(engine, chosen, found, pairs, random_state, cache, shown=host.progress)
        engine.mapping, report = _learned(before, chosen, engine, rows, vectors, pairs, field)
        if note is not None and host._folder is not None:
            note = replace(note, mapping=engine.mapping, report=asdict(report))
            relocation.write(host._folder, note, chosen)
    except BaseException:
        new.close()
        raise
    if host.progress:
        sys.stdout.write(f"{report}\n")
    with engine.changing:
        if host._engine is not old:
            new.close()
            raise errors.InputError("another call has migrated this index meanwhile; see index.migration")
        was = Before(lambda: before, host._learned, host._items)
        migration = Migration(host, engine, chosen, was, report, note)
        host._take(engine, chosen, {}, "" if note is None else note.items)
        host._migration = migration
    migration.start(photos, cache=cache)
    if len(engine) < _FEW:
        migration.wait()
    return migration


def resume(
    host: Host,
    noted: tuple[relocation.Note, Embeds | None],
    old_encoder: Callable[[], Embeds | None],
    *,
    read_only: bool,
    rebuild: bool,
) -> None:
    """Go on with the migration that the folder of an index notes, which has just been opened as it was before.

    Args:
        host: the index.
        noted: what `relocation.encoder_of` returned.
        old_encoder: returns the one before.
        read_only: whether the index only reads.
        rebuild: as for `VisualIndex.open`.

    Raises:
        StorageError: if the new vectors can't be read.
        CorruptFileError: if the report is damaged.
    """
    note, encoder = noted
    if host._folder is None or note.mapping is None or note.report is None:
        raise errors.InputError("there is no migration to go on with")
    report = _report(note.report, host._folder / relocation.FOLDER)
    old = host._engine
    new = reopened(host._folder, note, host.engine, old.settings, read_only=read_only, rebuild=rebuild)
    engine = MigratingEngine(old, new, note.mapping)
    if not read_only:
        _put_right(engine, shown=host.progress)
    was = Before(old_encoder, host._learned, host._items)
    migration = Migration(host, engine, encoder, was, report, note)
    host._take(engine, encoder, learned.kept(host._folder / note.items), note.items)
    host._migration = migration
    if read_only or encoder is None or note.photos == relocation.GIVEN:
        return
    folder = None if note.photos == relocation.BY_SOURCE else Path(note.photos)
    if folder is None or folder.is_dir():
        migration.start(folder)


def _put_right(engine: MigratingEngine, *, shown: bool) -> None:
    """Take away new rows that no longer fit the old ones: what was opened with the old encoder may have been changed."""
    engine.strays()
    ids = engine.renewed(list(engine))
    from fashionsearch.embedding import progress_bar  # here: it brings the decoding of photos

    with progress_bar(len(ids), "comparing items", "item", shown=shown) as advance:
        for start in range(0, len(ids), _COMPARED):
            engine.drop_stale(ids[start : start + _COMPARED])
            advance(len(ids[start : start + _COMPARED]))


def _report(noted: Mapping[str, Any], folder: Path) -> MigrationReport:
    """Return a noted report; what another version noted beside it is left out.

    Raises:
        CorruptFileError: if it isn't what was written.
    """
    known: dict[str, Any] = {
        each.name: noted[each.name] for each in fields(MigrationReport) if each.name in noted
    }
    try:
        for name, value in known.items():
            if name.endswith("_interval"):
                low, high = value
                known[name] = float(low), float(high)
            elif name in ("items", "pairs", "held_out"):
                known[name] = int(value)
            elif name in ("recall", "precision", "old_precision", "new_precision", "kept"):
                known[name] = float(value)
            elif not isinstance(value, str) and (name != "field" or value is not None):
                raise ValueError(f"{name} is no text")
        return MigrationReport(**known)
    except (TypeError, ValueError, OverflowError) as error:
        raise errors.CorruptFileError(
            f"the report in {folder} is damaged: {error}; restore it from a copy"
        ) from error


def _check(host: Host, encoder: Embeds, field: str | None) -> None:
    """Raise InputError where an index can't be given another encoder, or needn't."""
    metric = host._engine.settings.metric
    if metric != "cosine":
        raise errors.InputError(
            f"only vectors that are compared by the cosine can be mapped, and this index has metric={metric!r}; add the "
            "photos to another index"
        )
    if not len(host._engine):
        raise errors.InputError("this index is empty; make another one with the new encoder")
    if host._encoder is not None and encoders.identity(host._encoder) == encoders.identity(encoder):
        raise errors.InputError("this is the encoder that the index has; give another one")
    if field is not None:
        host._engine.check_field(field, "field")


def _sampled(
    engine: MigratingEngine,
    encoder: Embeds,
    photos: Photos,
    pairs: int,
    random_state: int,
    cache: EmbeddingCache | None,
    *,
    shown: bool,
) -> tuple[Rows, Vectors]:
    """Embed some items, those first that an interrupted migration has embedded; return their old rows and new vectors.

    Raises:
        InputError: if the photos of too few can be embedded.
    """
    ids = list(engine)
    total = len(ids) if len(ids) < _FEW else min(pairs + pairs // 4, max(_FEW // 2, len(ids) // 2))
    order = [ids[place] for place in np.random.default_rng(random_state).permutation(len(ids))]
    there = set(engine.renewed(order))
    order.sort(key=lambda item: item not in there)
    parts: list[tuple[Rows, Vectors]] = []
    count, why = 0, ""
    from fashionsearch.embedding import progress_bar  # here: it brings the decoding of photos

    with progress_bar(total, "learning the map", "item", shown=shown) as advance:
        for start in range(0, len(order), _AT_ONCE):
            rows = fetch_present(engine.old, order[start : start + min(_AT_ONCE, total - count)])
            fresh = fetch_present(engine.new, engine.renewed(list(rows.ids)))
            at = fitting(rows, fresh)
            if at:
                parts.append((picked(rows, list(at)), fresh.vectors[list(at.values())]))
            rest = picked(rows, [place for place in range(len(rows)) if place not in at])
            places, vectors, missing = embedded(encoder, photos, rest, cache)
            if places:
                parts.append((picked(rest, places), vectors))
                engine.place(*parts[-1])
            why = next(iter(missing.values()), why)
            advance(len(at) + len(places))
            count += len(at) + len(places)
            if count >= total:
                break
    if count < min(_LEAST, -(-total // 2)):
        raise errors.InputError(
            f"only {count:,} of {len(ids):,} items have a photo that can be embedded ({why}), too few to learn from; give "
            "their photos by photos="
        )
    rows = Rows(
        [item for part, _ in parts for item in part.ids],
        np.concatenate([part.vectors for part, _ in parts]),
        [held for part, _ in parts for held in part.metadata],
        [source for part, _ in parts for source in part.sources],
    )
    return rows, np.concatenate([vectors for _, vectors in parts])


def _learned(
    before: Embeds | None,
    encoder: Embeds,
    engine: MigratingEngine,
    rows: Rows,
    vectors: Vectors,
    pairs: int,
    field: str | None,
) -> tuple[SpaceMap, MigrationReport]:
    """Return the map that most pairs give, and what it does on the others."""
    count = min(pairs, len(rows) - len(rows) // 5)
    mapping = learn(rows.vectors[:count], vectors[:count])
    values = None if field is None else [held.get(field) for held in rows.metadata[count:]]
    figures = measuring.loss(mapping, rows.vectors[count:], vectors[count:], values)
    names = "" if before is None else encoders.name(before), encoders.name(encoder)
    held_out = len(rows) - count
    return mapping, MigrationReport(
        *names, len(engine), count, held_out, mapping.kind, field=field, **figures
    )

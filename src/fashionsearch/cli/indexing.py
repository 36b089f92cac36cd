"""The commands that make an index of photos, keep it in step with them, and copy it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.cli.answer import Answer, changed_rows, left_out, tell_left_out
from fashionsearch.cli.inputs import (
    check_index,
    check_there,
    ids_of,
    is_opened,
    loaded,
    open_index,
    read_table,
    table_of,
)
from fashionsearch.cli.target import is_new, opened, place_of, typed

if TYPE_CHECKING:
    from fashionsearch.index import VisualIndex
    from fashionsearch.results import Added

_COLUMNS = ("id", "change")


def index(options: argparse.Namespace) -> Answer:
    """Make photos searchable."""
    check_there(options.data)
    if options.sync:
        return _sync(options)
    if not is_new(options.data / "run"):
        return _add_shards(options)
    return _replace(options) if is_opened(options.out) else _make(options)


def _make(options: argparse.Namespace) -> Answer:
    """Write a saved index."""
    from fashionsearch import storage
    from fashionsearch.index import VisualIndex

    storage.check_target(options.out, "index")
    found = VisualIndex(loaded(options.encoder or "fashion"), **_made_with(options), **place_of(options))
    added = _added(options, found)
    found.save(options.out)
    return _answer(options, found, added, ())


def _replace(options: argparse.Namespace) -> Answer:
    """Let an opened index hold these photos and no others; what is removed goes last."""
    encoder = None if options.encoder is None else loaded(options.encoder)
    with opened(options, options.out, encoder, _made_with(options)) as found:
        added = _added(options, found)
        kept = set(added.ids)
        gone = [item for item in found if item not in kept]
        found.remove(gone)
        return _answer(options, found, added, gone)


def _made_with(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the user says of a new index."""
    given = {name: getattr(options, name) for name in ("metric", "engine", "background")}
    return {name: value for name, value in given.items() if value is not None}


def _added(options: argparse.Namespace, found: VisualIndex) -> Added:
    from fashionsearch.cache import EmbeddingCache

    table = table_of(options.data, options.image_column, options.image_root, labelled=False)
    with EmbeddingCache() as cache:
        added = found.add(
            table.images,
            ids=typed(ids_of(table, options.id_column), found),
            metadata=table.metadata,
            on_error="skip" if options.skip_bad else "raise",
            cache=cache,
        )
    tell_left_out(added.failures)
    return added


def _answer(options: argparse.Namespace, found: VisualIndex, added: Added, gone: Sequence[Any]) -> Answer:
    removed = f", {len(gone):,} that were there before removed" if gone else ""
    return Answer(
        f"{len(found):,} photos in {options.out}{removed}; search with: {_search_with(options)}",
        {"added": added.ids, "removed": gone, "left_out": left_out(added.failures), "items": len(found)},
        changed_rows(added=added.ids, removed=gone),
        _COLUMNS,
    )


def _add_shards(options: argparse.Namespace) -> Answer:
    """Bring what `fashionsearch embed` wrote into an opened index, or to a server."""
    from fashionsearch.index.runs import open_run

    if options.id_column is not None:
        raise errors.InputError("--id-column is for a table; the embeddings were written with their ids")
    run, encoder = open_run(options.data)
    given = _made_with(options)
    if given.pop("background", "keep") != "keep":
        raise errors.InputError(f"{options.data} holds embeddings of whole photos; leave --background out")
    with opened(options, options.out, encoder, given) as found:
        added = found.add_shards(options.data)
        return Answer(
            f"{added:,} of {run['rows']:,} photos added; search with: {_search_with(options)}",
            {"added": added, "of": run["rows"], "items": len(found)},
        )


def _search_with(options: argparse.Namespace) -> str:
    return f"fashionsearch search {options.out} PHOTO"


def _sync(options: argparse.Namespace) -> Answer:
    from fashionsearch.cache import EmbeddingCache

    if options.id_column is not None:
        raise errors.InputError("--id-column is not for --sync: ids are the column id, or the photos' paths")
    chosen = options.encoder or ("fashion" if is_new(options.out) else None)
    encoder = None if chosen is None else loaded(chosen)
    folder = options.data.expanduser().is_dir() and not (options.data / "styles.csv").exists()
    table = None if folder else read_table(options, labelled=False)
    with (
        opened(options, options.out, encoder, _made_with(options)) as found,
        EmbeddingCache() as cache,
    ):
        done = found.sync(options.data, table, cache=cache)
        return Answer(
            f"{done!r}\n{len(found):,} photos in {options.out}; search with: {_search_with(options)}",
            {
                "added": done.added,
                "changed": done.changed,
                "removed": done.removed,
                "kept": done.kept,
                "left_out": left_out(done.failures),
                "items": len(found),
            },
            changed_rows(added=done.added, changed=done.changed, removed=done.removed),
            _COLUMNS,
        )


def index_copy(options: argparse.Namespace) -> Answer:
    """Copy an index into an opened one, or to a server."""
    check_index(options.source)
    source = open_index(options.source, embeds=True, url=options.source_url)
    made_with = {name: getattr(source, name) for name in ("metric", "m", "ef_construction", "background")}
    new = is_new(options.target)
    if place_of(options) and new and options.engine is None:
        raise errors.InputError("--url and --collection need --engine qdrant or --engine pgvector")
    engine = options.engine or (
        "hnsw" if new and source.engine in ("qdrant", "pgvector") else source.engine if new else None
    )
    given: dict[str, Any] = {"engine": engine, **(made_with if new else {})}
    encoder = source.encoder if new else None
    dim = source.dim if new and encoder is None else None
    with opened(options, options.target, encoder, given, dim) as target:
        copied = source.copy_to(target)
        if not is_opened(options.target):  # its items are on a server, and what was learned in the folder
            target.save(options.target)
        return Answer(
            f"{copied:,} of {len(source):,} items copied to {options.target}, the others were there",
            {"copied": copied, "of": len(source), "items": len(target)},
        )

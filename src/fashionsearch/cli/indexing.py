"""The commands of an index: made of photos, kept in step with them, copied and searched."""

from __future__ import annotations

import argparse
import json
from typing import Any

from fashionsearch import errors
from fashionsearch.cli.console import shown, shown_lines
from fashionsearch.cli.inputs import (
    check_index,
    check_photos,
    ids_of,
    key_of,
    loaded,
    open_index,
    parse_where,
    read_table,
)


def index(options: argparse.Namespace) -> int:
    """Make photos searchable."""
    from fashionsearch import storage
    from fashionsearch.cache import EmbeddingCache
    from fashionsearch.index import VisualIndex

    if options.sync:
        return _sync(options)
    if (options.data / "run" / storage.MANIFEST).exists():
        return _add_shards(options)
    storage.check_target(options.out, "index")
    table = read_table(options, labelled=False)
    index = VisualIndex(
        loaded(options.encoder or "fashion"), metric=options.metric, engine=options.engine, **_place(options)
    )
    with EmbeddingCache() as cache:
        index.add(table.images, ids=ids_of(table, options.id_column), metadata=table.metadata, cache=cache)
    index.save(options.out)
    print(f"{len(index):,} photos in {options.out}; search with: {_search_with(options)}")
    return 0


def _add_shards(options: argparse.Namespace) -> int:
    """Bring what `fashionsearch embed` wrote into an opened index, or to a server."""
    from fashionsearch.index import VisualIndex
    from fashionsearch.index.runs import open_run

    run, encoder = open_run(options.data)
    place, is_new = _place(options), not (options.out / "manifest.json").exists()
    if place and is_new:
        found = VisualIndex(encoder, metric=options.metric, engine=options.engine, **place)
        found.save(options.out)
    elif place:
        found = _loaded_index(options)
    else:
        given: dict[str, Any] = {"metric": options.metric, "engine": options.engine} if is_new else {}
        found = VisualIndex.open(options.out, encoder, **given)
    with found:
        added = found.add_shards(options.data)
        print(f"{added:,} of {run['rows']:,} photos added; search with: {_search_with(options)}")
    return 0


def _place(options: argparse.Namespace) -> dict[str, Any]:
    """Return where an index on a server is; nothing for the others."""
    if options.url is None and options.collection is None:
        return {}
    return {"url": options.url, "collection": options.collection, "api_key": key_of(options.url)}


def _loaded_index(options: argparse.Namespace, encoder: Any = None) -> Any:
    """Return the index on a server that an earlier call saved; other options than it was made with are refused."""
    from fashionsearch import storage
    from fashionsearch.index import VisualIndex

    folder = options.out if hasattr(options, "out") else options.target
    config = storage.open_saved(folder, "index").json("index.json")
    asked = {"collection": options.collection, "engine": options.engine if options.engine != "hnsw" else None}
    for name, value in asked.items():
        if value is not None and value != config.get(name):
            raise errors.InputError(
                f"{folder} was made with --{name} {config.get(name)}, and --{name} {value} is asked for; leave it out, or "
                "give another folder"
            )
    return VisualIndex.load(folder, encoder=encoder, url=options.url, api_key=key_of(options.url))


def _search_with(options: argparse.Namespace) -> str:
    return f"fashionsearch search {options.out} PHOTO"


def _sync(options: argparse.Namespace) -> int:
    from fashionsearch import storage
    from fashionsearch.cache import EmbeddingCache
    from fashionsearch.index import VisualIndex

    if options.id_column is not None:
        raise errors.InputError("--id-column is not for --sync: ids are the column id, or the photos' paths")
    is_new = not (options.out / storage.MANIFEST).exists()
    chosen = options.encoder or ("fashion" if is_new else None)
    encoder = None if chosen is None else loaded(chosen)
    folder = options.data.expanduser().is_dir() and not (options.data / "styles.csv").exists()
    table = None if folder else read_table(options, labelled=False)
    place = _place(options)
    if place and is_new:
        found = VisualIndex(encoder, metric=options.metric, engine=options.engine, **place)
        found.save(options.out)
    elif place:
        found = _loaded_index(options, encoder)
    else:
        found = VisualIndex.open(
            options.out,
            encoder,
            metric=options.metric if is_new else None,
            engine=options.engine if is_new else None,
        )
    with found, EmbeddingCache() as cache:
        done = found.sync(options.data, table, cache=cache)
        print(shown_lines(repr(done)))
        print(f"{len(found):,} photos in {options.out}; search with: {_search_with(options)}")
    return 0


def index_copy(options: argparse.Namespace) -> int:
    """Copy an index into an opened one, or to a server."""
    from fashionsearch import storage
    from fashionsearch.index import VisualIndex

    check_index(options.source)
    source = open_index(options.source, url=options.source_url)
    made_with = {name: getattr(source, name) for name in ("metric", "m", "ef_construction")}
    is_new = not (options.target / storage.MANIFEST).exists()
    dim = source.dim if is_new and source.encoder is None else None
    place = _place(options)
    if place:
        if is_new:
            if options.engine is None:
                raise errors.InputError("--url and --collection need --engine qdrant or --engine pgvector")
            target = VisualIndex(source.encoder, dim=dim, engine=options.engine, **made_with, **place)
            target.save(options.target)
        else:
            target = _loaded_index(options)
    else:
        engine = options.engine or ("hnsw" if is_new and source.engine in ("qdrant", "pgvector") else None)
        given: dict[str, Any] = (
            {"engine": engine or source.engine, **made_with} if is_new else {"engine": engine}
        )
        target = VisualIndex.open(options.target, source.encoder if is_new else None, dim=dim, **given)
    with target:
        copied = source.copy_to(target)
        print(f"{copied:,} of {len(source):,} items copied to {options.target}, the others were there")
    return 0


def search(options: argparse.Namespace) -> int:
    """Print the items that look most like photos."""
    if options.k < 1:
        raise errors.InputError(f"-k {options.k}: k={options.k} is not a whole number from 1 up")
    where = parse_where(options.where)
    check_index(options.index)
    check_photos(options.photos)

    index = open_index(options.index, rebuild=options.rebuild, url=options.url)
    matches = index.search(options.photos, k=options.k, where=where, exact=options.exact)
    for photo, hits in zip(options.photos, matches, strict=True):
        if options.json:
            found = [
                {
                    "id": match.id,
                    "similarity": round(match.similarity, 4),
                    "source": match.source,
                    "metadata": match.metadata,
                }
                for match in hits
            ]
            print(json.dumps({"query": photo, "matches": found}))
            continue
        print(shown(photo))
        for match in hits:
            print(f"  {match.similarity:.4f}  {shown(match.id)}  {shown(match.source or '')}")
        if not hits:
            print("  nothing fits the filter")
    return 0

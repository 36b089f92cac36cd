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
    loaded,
    loaded_tagger,
    open_index,
    parse_towards,
    parse_where,
    read_table,
)
from fashionsearch.cli.target import is_new, opened, place_of, typed


def index(options: argparse.Namespace) -> int:
    """Make photos searchable."""
    from fashionsearch import storage
    from fashionsearch.cache import EmbeddingCache
    from fashionsearch.index import VisualIndex

    if options.sync:
        return _sync(options)
    if not is_new(options.data / "run"):
        return _add_shards(options)
    storage.check_target(options.out, "index")
    table = read_table(options, labelled=False)
    index = VisualIndex(
        loaded(options.encoder or "fashion"),
        metric=options.metric,
        engine=options.engine,
        background=options.background,
        **place_of(options),
    )
    with EmbeddingCache() as cache:
        index.add(table.images, ids=ids_of(table, options.id_column), metadata=table.metadata, cache=cache)
    index.save(options.out)
    print(f"{len(index):,} photos in {options.out}; search with: {_search_with(options)}")
    return 0


def _add_shards(options: argparse.Namespace) -> int:
    """Bring what `fashionsearch embed` wrote into an opened index, or to a server."""
    from fashionsearch.index.runs import open_run

    run, encoder = open_run(options.data)
    given = {"metric": options.metric, "engine": options.engine} if is_new(options.out) else {}
    if options.background != "keep":
        raise errors.InputError(f"{options.data} holds embeddings of whole photos; leave --background out")
    with opened(options, options.out, encoder, given) as found:
        added = found.add_shards(options.data)
        print(f"{added:,} of {run['rows']:,} photos added; search with: {_search_with(options)}")
    return 0


def _search_with(options: argparse.Namespace) -> str:
    return f"fashionsearch search {options.out} PHOTO"


def _sync(options: argparse.Namespace) -> int:
    from fashionsearch.cache import EmbeddingCache

    if options.id_column is not None:
        raise errors.InputError("--id-column is not for --sync: ids are the column id, or the photos' paths")
    new = is_new(options.out)
    chosen = options.encoder or ("fashion" if new else None)
    encoder = None if chosen is None else loaded(chosen)
    folder = options.data.expanduser().is_dir() and not (options.data / "styles.csv").exists()
    table = None if folder else read_table(options, labelled=False)
    made_with = {name: getattr(options, name) for name in ("metric", "engine", "background")}
    given = made_with if new else {}
    if not new and options.background != "keep":
        given = {"background": options.background}
    with opened(options, options.out, encoder, given) as found, EmbeddingCache() as cache:
        done = found.sync(options.data, table, cache=cache)
        print(shown_lines(repr(done)))
        print(f"{len(found):,} photos in {options.out}; search with: {_search_with(options)}")
    return 0


def index_copy(options: argparse.Namespace) -> int:
    """Copy an index into an opened one, or to a server."""
    check_index(options.source)
    source = open_index(options.source, url=options.source_url)
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
        print(f"{copied:,} of {len(source):,} items copied to {options.target}, the others were there")
    return 0


def search(options: argparse.Namespace) -> int:
    """Print the items that look most like photos."""
    if options.k < 1:
        raise errors.InputError(f"-k {options.k}: k={options.k} is not a whole number from 1 up")
    where, towards = parse_where(options.where), parse_towards(options.towards)
    check_index(options.index)
    check_photos(options.photos)
    if not (options.photos or options.text is not None or options.like or towards):
        raise errors.InputError(
            "nothing says what to search for; name a photo, or give --text, --like or --towards"
        )

    index = open_index(options.index, rebuild=options.rebuild, url=options.url)
    matches = index.search(
        options.photos or None,
        k=options.k,
        text=options.text,
        text_weight=options.text_weight,
        text_match=options.text_match,
        background=options.background,
        like=typed(options.like, index),
        unlike=typed(options.unlike, index),
        towards=towards,
        tagger=None if options.tagger is None else loaded_tagger(options.tagger),
        where=where,
        exact=options.exact,
        exclude=[*options.exclude, *(int(item) for item in options.exclude if item.isdecimal())],
        group_by=options.group_by,
        diversity=options.diversity,
        min_probability=options.min_probability,
        coverage=options.coverage,
    )
    likes = f"what is like {', '.join(options.like)}" if options.like else ""
    asked = options.photos or [options.text or likes or ", ".join(options.towards)]
    for photo, hits in zip(asked, matches, strict=True):
        if options.json:
            found = [
                {
                    "id": match.id,
                    "similarity": round(match.similarity, 4),
                    "probability": None
                    if match.probability != match.probability
                    else round(match.probability, 4),
                    "parts": {name: round(part, 4) for name, part in match.parts.items()},
                    "source": match.source,
                    "metadata": match.metadata,
                }
                for match in hits
            ]
            print(json.dumps({"query": photo, "matches": found}))
            continue
        print(shown(photo))
        for match in hits:
            chance = "" if match.probability != match.probability else f"  {match.probability:4.0%}"
            print(f"  {match.similarity:.4f}{chance}  {shown(match.id)}  {shown(match.source or '')}")
        if not hits:
            print("  nothing fits")
    return 0

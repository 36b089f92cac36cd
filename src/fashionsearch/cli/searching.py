"""`fashionsearch search`: the items that look most like photos, or like what is said otherwise."""

from __future__ import annotations

import argparse
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.cli.answer import Answer, tell_left_out
from fashionsearch.cli.inputs import (
    check_index,
    check_photos,
    open_index,
    parse_towards,
    parse_where,
)
from fashionsearch.cli.target import typed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fashionsearch.index import VisualIndex
    from fashionsearch.results import Match, Tags
    from fashionsearch.tagging.tagger import Tagger

_COLUMNS = ("query", "rank", "id", "similarity", "probability", "source")


def search(options: argparse.Namespace) -> Answer:
    """Find the items that look most like photos."""
    if options.k < 1:
        raise errors.InputError(f"-k {options.k}: k={options.k} is not a whole number from 1 up")
    where, towards = parse_where(options.where), parse_towards(options.towards)
    check_index(options.index)
    if not options.skip_bad:
        check_photos(options.photos)
    _check_said(options)
    photos = _readable(options.photos) if options.skip_bad and options.photos else options.photos

    index = _opened(options)
    tagger = None
    if options.tagger is not None:
        from fashionsearch.tagging.named import named_tagger

        tagger = named_tagger(options.tagger)
    vectors, names = (None, []) if options.vectors is None else _read_vectors(options.vectors)
    tags = None
    if options.tag:
        tags, vectors = _tagged(index, tagger, photos, options.background)
    matches = index.search(
        photos or None,
        k=options.k,
        vectors=vectors,
        id=None if options.id is None else typed([options.id], index)[0],
        text=options.text,
        text_weight=options.text_weight,
        text_match=options.text_match,
        background=options.background,
        like=typed(options.like, index),
        unlike=typed(options.unlike, index),
        towards=towards,
        tagger=tagger if towards else None,
        where=where,
        exact=options.exact,
        exclude=[*options.exclude, *(int(item) for item in options.exclude if item.isdecimal())],
        group_by=options.group_by,
        diversity=options.diversity,
        min_probability=options.min_probability,
        coverage=options.coverage,
    )
    asked = photos or names or [_said(options)] * len(matches)
    rows = [{}] * len(matches) if tags is None else _tag_rows(tags)
    found = [
        {"query": query, **({"tags": row} if tags is not None else {}), "matches": [*map(_as_row, hits)]}
        for query, row, hits in zip(asked, rows, matches, strict=True)
    ]
    words = "\n".join(_lines(found, tags))
    return Answer(words, found, *_table(found))


def _check_said(options: argparse.Namespace) -> None:
    """Raise InputError for a search that nobody could answer, before anything slow."""
    said = (options.text is not None, options.id is not None, options.like, options.towards)
    if not (options.photos or options.vectors or any(said)):
        raise errors.InputError(
            "nothing says what to search for; name a photo, or give --text, --like or --towards, or --id"
        )
    if options.photos and options.vectors:
        raise errors.InputError("photos and --vectors both say what to search by; leave one out")
    if options.tag and not options.photos:
        raise errors.InputError("--tag tells what is on a photo, and there is none; name one")
    if options.tagger is not None and not (options.tag or options.towards):
        raise errors.InputError("--tagger says what --tag and --towards ask; give one of them too")


def _opened(options: argparse.Namespace) -> VisualIndex:
    """Return the index, with its encoder only where something is embedded."""
    embeds = bool(options.photos or options.text is not None or options.towards)
    index = open_index(options.index, embeds=embeds, rebuild=options.rebuild, url=options.url)
    judged = typed([*options.like, *options.unlike], index)
    if embeds or all(item in index for item in judged):
        return index
    index.close()
    return open_index(options.index, embeds=True, rebuild=options.rebuild, url=options.url)


def _readable(photos: Sequence[str]) -> list[str]:
    from fashionsearch.images import check_images

    positions, failures = check_images(list(photos))
    tell_left_out(failures)
    if not len(positions):
        raise errors.ImageError(failures)
    return [photos[position] for position in positions]


def _read_vectors(file: Path) -> tuple[NDArray[Any], list[str]]:
    """Return the vectors of a .npy or .npz file, and the names of the photos that they are of where it has them."""
    import numpy as np

    try:
        with file.expanduser().open("rb") as opened:
            held = np.load(opened, allow_pickle=False)
            if isinstance(held, np.ndarray):
                return np.atleast_2d(held), []
            vectors, names = held["embeddings"], held["images"].tolist() if "images" in held else []
        if names and len(names) != len(vectors):
            raise ValueError(f"it has {len(vectors):,} embeddings and {len(names):,} images")
    # A file of another kind fails in many ways, and so does what unpacks it.
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise errors.DataError(
            f"--vectors {file} can't be read: {error}; give a .npy file of (n, dim), or what `fashionsearch embed` wrote"
        ) from error
    return vectors, names


def _tagged(
    index: VisualIndex, tagger: Tagger | None, photos: Sequence[str], background: str | None
) -> tuple[Tags, NDArray[Any] | None]:
    """Return photos' tags, and their embeddings too where the tagger's are the index's."""
    from fashionsearch.index.attributes import embeds_alike

    chosen = index.tagger if tagger is None else tagger
    if chosen is None:
        raise errors.InputError(
            "--tag asks a tagger, and this index's encoder is none; give --tagger, such as --tagger fashion"
        )
    alike = tagger is None or (index.metric == "cosine" and embeds_alike(chosen, index.encoder, index.dim))
    if alike and (background or index.background) == "keep":
        return chosen.tag_and_embed(photos)
    return chosen.tag(photos), None


def _said(options: argparse.Namespace) -> str:
    """Return what is asked for where there is no photo."""
    if options.id is not None:
        return f"like {options.id}"
    likes = f"what is like {', '.join(options.like)}" if options.like else ""
    return options.text or likes or ", ".join(options.towards)


def _tag_rows(tags: Tags) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "image"} for row in tags.to_rows()]


def _as_row(match: Match) -> dict[str, Any]:
    return {
        "id": match.id,
        "similarity": round(match.similarity, 4),
        "probability": round(match.probability, 4),
        "parts": {name: round(part, 4) for name, part in match.parts.items()},
        "source": match.source,
        "metadata": match.metadata,
    }


def _lines(found: Sequence[dict[str, Any]], tags: Tags | None) -> Iterator[str]:
    for position, answer in enumerate(found):
        yield str(answer["query"])
        if tags is not None:
            from fashionsearch.cli.tag import tags_in_words

            yield f"  {tags_in_words(tags, position)}"
        width = max((len(str(match["id"])) for match in answer["matches"]), default=0)
        for match in answer["matches"]:
            chance = "" if match["probability"] != match["probability"] else f"  {match['probability']:4.0%}"
            source = match["source"] or ""
            yield f"  {match['similarity']:.4f}{chance}  {match['id']!s:{width}}  {source}".rstrip()
        if not answer["matches"]:
            yield "  nothing fits"


def _table(found: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a row for each match, and the columns."""
    rows = []
    for answer in found:
        tags = {f"tags.{name}": value for name, value in answer.get("tags", {}).items()}
        for rank, match in enumerate(answer["matches"], 1):
            named = {name: match[name] for name in _COLUMNS[2:]}
            more = {
                f"{part}.{name}": value
                for part in ("metadata", "parts")
                for name, value in match[part].items()
            }
            rows.append({"query": answer["query"], "rank": rank, **named, **more, **tags})
    return rows, list(dict.fromkeys([*_COLUMNS, *(name for row in rows for name in row)]))

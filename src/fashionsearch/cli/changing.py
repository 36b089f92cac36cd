"""The commands that change an index: items added, removed, and their metadata set."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.cli.answer import Answer, changed_rows, left_out, tell_left_out
from fashionsearch.cli.inputs import check_index, check_photos, ids_of, is_opened, table_of
from fashionsearch.cli.target import to_change, typed

if TYPE_CHECKING:
    from fashionsearch.index import VisualIndex


def add(options: argparse.Namespace) -> Answer:
    """Add photos."""
    check_index(options.index)
    check_photos(options.data)
    from fashionsearch.cache import EmbeddingCache

    images, ids, metadata = _photos(options)
    with to_change(options, embeds=True) as index, EmbeddingCache() as cache:
        done = index.add(
            images,
            ids=typed(ids, index),
            metadata=metadata,
            on_error="skip" if options.skip_bad else "raise",
            cache=cache,
        )
        tell_left_out(done.failures)
        return Answer(
            f"{len(done.ids):,} photos added, {len(index):,} in {options.index}",
            {"added": done.ids, "left_out": left_out(done.failures), "items": len(index)},
            changed_rows(added=done.ids),
            ("id", "change"),
        )


def remove(options: argparse.Namespace) -> Answer:
    """Remove items."""
    texts = [*options.ids, *_listed(options.list)]
    if not texts:
        raise errors.InputError("there is no id to remove; name some, or a file of them with --ids")
    with to_change(options, embeds=False, ids=texts) as index:
        ids = list(dict.fromkeys(typed(texts, index)))
        index.remove(ids)
        return Answer(
            f"{len(ids):,} items removed, {len(index):,} left in {options.index}",
            {"removed": ids, "items": len(index)},
            changed_rows(removed=ids),
            ("id", "change"),
        )


def update(options: argparse.Namespace) -> Answer:
    """Set fields of an item's metadata."""
    fields = _fields(options.fields)
    with to_change(options, embeds=False, ids=[options.id]) as index:
        (item,) = typed([options.id], index)
        held = index.get(item).metadata
        index.update(item, {field: _value(text, held.get(field)) for field, text in fields.items()})
        now = index.get(item).metadata
        told = ", ".join(f"{field}={now[field]!r}" for field in fields)
        return Answer(f"{item}: {told}", {"id": item, "metadata": now})


def learn_text(options: argparse.Namespace) -> Answer:
    """Learn words from titles."""
    with _learning(options) as index:
        index.learn_text(options.titles)
        found = {"items": len(index), "field": options.titles}
    return Answer(
        f"words learned; search with: fashionsearch search {options.index} --text 'red dress'", found
    )


def calibrate(options: argparse.Namespace) -> Answer:
    """Learn what a likeness is worth."""
    with _learning(options) as index:
        found = index.calibrate(options.field)
    return Answer(str(found), dataclasses.asdict(found))


@contextlib.contextmanager
def _learning(options: argparse.Namespace) -> Iterator[VisualIndex]:
    """Give an index, and keep what it learns."""
    with to_change(options, embeds=True) as index:
        yield index
        if not is_opened(options.index):  # its items are on a server, and what was learned in the folder
            index.save(options.index)


def _photos(options: argparse.Namespace) -> tuple[list[Any], list[str], list[Mapping[str, Any]]]:
    """Return the photos that are named, by themselves, in folders or in tables, with their ids and metadata."""
    from fashionsearch.index.rows import metadata_rows

    images: list[Any] = []
    ids: list[str] = []
    metadata: list[Mapping[str, Any]] = []
    for path in (each.expanduser() for each in options.data):
        if path.is_file() and path.suffix.lower() != ".csv":
            images.append(path)
            ids.append(path.name)
            metadata.append({})
            continue
        table = table_of(path, options.image_column, options.image_root, labelled=False)
        images += table.images
        ids += ids_of(table, options.id_column)
        metadata += metadata_rows(table.metadata, len(table))
    return images, ids, metadata


def _listed(file: Path | None) -> list[str]:
    """Return the ids of a file, an id a line; of standard input for "-"."""
    if file is None:
        return []
    try:
        text = sys.stdin.read() if str(file) == "-" else file.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.DataError(f"{file} can't be read: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _fields(texts: Sequence[str]) -> dict[str, str]:
    """Return the fields that texts such as "price=19.9" name."""
    fields: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise errors.InputError(f"{text!r} is not FIELD=VALUE")
        if name.strip() in fields:
            raise errors.InputError(f"{name.strip()!r} is set twice")
        fields[name.strip()] = value.strip()
    return fields


def _value(text: str, held: object) -> Any:
    """Return the value that a text spells; text, where the item has text now, and None for nothing."""
    from fashionsearch.values import read_text

    if not text:
        return None
    return text if isinstance(held, str) else read_text(text)

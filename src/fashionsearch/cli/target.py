"""The index that a command changes: opened in its folder, or on its server."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.cli.inputs import check_index, is_opened, key_of

if TYPE_CHECKING:
    from fashionsearch.index import VisualIndex


def place_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return where an index on a server is; nothing for the others."""
    if options.url is None and options.collection is None:
        return {}
    return {"url": options.url, "collection": options.collection, "api_key": key_of(options.url)}


def is_new(folder: Path) -> bool:
    """Return whether nothing is saved in a folder."""
    from fashionsearch import storage

    return not (folder / storage.MANIFEST).exists()


def opened(
    options: argparse.Namespace, folder: Path, encoder: Any, given: dict[str, Any], dim: int | None = None
) -> VisualIndex:
    """Return the index of a folder, to be changed: opened in it, or on the server that it or the options name.

    Args:
        options: with `url`, `collection` and `engine`.
        folder: of an opened index, or of one on a server that an earlier call saved; made where it is missing.
        encoder: of a new index, or to be compared with its own; None takes its own.
        given: what a new index is made with.
        dim: length of its vectors where there is no encoder.
    """
    from fashionsearch.index import VisualIndex

    place = place_of(options)
    if place and is_opened(folder):
        raise errors.InputError(
            f"--url and --collection are for an index on a server, and {folder} holds its items itself"
        )
    if is_new(folder) and place:
        made = VisualIndex(encoder, dim=dim, **given, **place)
        made.save(folder)
        return made
    config = {} if is_new(folder) or is_opened(folder) else _saved_config(folder)
    if not place and "url" not in config:
        return VisualIndex.open(folder, encoder, dim=dim, **given)
    asked = {"collection": options.collection, "engine": options.engine}
    for name, value in asked.items():
        if value is not None and value != config.get(name):
            raise errors.InputError(
                f"{folder} was made with --{name} {config.get(name)}, and --{name} {value} is asked for; leave it out, or "
                "give another folder"
            )
    return VisualIndex.load(folder, encoder=encoder, url=options.url, api_key=key_of(options.url))


def to_change(options: argparse.Namespace, *, embeds: bool, ids: Sequence[str] = ()) -> VisualIndex:
    """Return the index that the options name, which must be there.

    Args:
        options: with `index`, `url`, `collection` and `engine`.
        embeds: whether photos are to be embedded; without, the encoder stays unread, and an index opens in a moment.
        ids: of items that must be there, before a saved index is made an opened one.

    Raises:
        StorageError: if the folder holds no index.
        UnknownIdError: if an item isn't there; nothing is changed.
    """
    folder = options.index
    check_index(folder)
    from fashionsearch.index import VisualIndex
    from fashionsearch.index.snapshot import unread_encoder

    encoder = None if embeds else unread_encoder(folder)
    if ids and not is_opened(folder) and "url" not in _saved_config(folder):
        held = VisualIndex.load(folder, encoder=encoder)
        for item in typed(ids, held):
            held.get(item)
    return opened(options, folder, encoder, {})


def typed(ids: Sequence[str], index: VisualIndex) -> list[Any]:
    """Return ids as an index has them: as numbers, if its ids are."""
    from fashionsearch.index.rows import spelled_id

    return [spelled_id(item, index) for item in ids]


def _saved_config(folder: Path) -> dict[str, Any]:
    from fashionsearch import storage

    return storage.open_saved(folder, "index").json("index.json")

"""The commands that only look: what a folder holds, and the values of a metadata field."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.cli.answer import Answer
from fashionsearch.cli.inputs import check_index, open_index, parse_where

if TYPE_CHECKING:
    from fashionsearch.index import VisualIndex
    from fashionsearch.storage import Saved

_INDEXES = ("index", "opened index")
_LOOKED_AT = 100  # items whose metadata's fields are named


def info(options: argparse.Namespace) -> Answer:
    """Tell what a folder holds; no network is read."""
    from fashionsearch import storage
    from fashionsearch.pretrained import ships

    folder: Path = options.folder.expanduser()
    if ships(folder):
        found = _of_shipped(str(folder))
    else:
        saved = storage.open_saved(folder)
        found = {"kind": saved.kind, **(_of_index(folder) if saved.kind in _INDEXES else _of_model(saved))}
    words = _aligned(found)
    if options.health:
        if found["kind"] not in _INDEXES:
            raise errors.InputError(f"--health measures an index, and {folder} holds a {found['kind']}")
        with open_index(folder, embeds=False) as index:
            health = index.health()
        found["health"] = {**dataclasses.asdict(health), "problems": health.problems()}
        words += f"\n\n{health!r}"
    return Answer(words, found)


def facets(options: argparse.Namespace) -> Answer:
    """Count the values of a metadata field."""
    where = parse_where(options.where)
    check_index(options.index)
    with open_index(options.index, embeds=False, url=options.url) as index:
        counts = index.facets(options.field, where=where)
    rows = [{"value": value, "count": count} for value, count in counts.items()]
    width = max((len(f"{count:,}") for count in counts.values()), default=0)
    words = "\n".join(f"{count:>{width},}  {value}" for value, count in counts.items())
    return Answer(words or "nothing fits", {"field": options.field, "values": rows}, rows, ("value", "count"))


def _of_shipped(name: str) -> dict[str, Any]:
    from fashionsearch.tagging.tagger import Tagger

    tagger = Tagger.from_pretrained(name)
    attributes = {attribute: len(classes) for attribute, classes in tagger.classes_.items()}
    return {
        "kind": "tagger",
        "ships with the library": True,
        "embedding": tagger.dim,
        "attributes": attributes,
    }


def _of_index(folder: Path) -> dict[str, Any]:
    from fashionsearch.index.items import first_fields

    with open_index(folder, embeds=False) as index:
        return {
            "items": len(index),
            "fields": first_fields(index, _LOOKED_AT),
            "encoder": _encoder(index),
            "dim": index.dim,
            "metric": index.metric,
            "engine": index.engine,
            "storage": index.storage,
            "background": index.background,
            "learned": index.learned,
            "migrating": index.migration is not None,
        }


def _encoder(index: VisualIndex) -> str | None:
    from fashionsearch.index.encoders import Unread

    encoder = index.encoder
    return f"{encoder.name} ({encoder.kind})" if isinstance(encoder, Unread) else None


def _of_model(saved: Saved) -> dict[str, Any]:
    """Return what the files of a classifier, tagger, autoencoder or backbone say of it."""
    found: dict[str, Any] = {}
    if "backbone.json" in saved.files:
        network = saved.json("backbone.json")
        height, width = network.fields("preprocess")["image_size"]
        found |= {
            "network": network.text("name"),
            "image size": f"{height}×{width}",
            "embedding": network["dim"],
        }
    if saved.kind == "classifier":
        found["classes"] = saved.json("classifier.json")["classes"]
    if saved.kind == "tagger":
        attributes = saved.json("tagger.json")["attributes"]
        found["attributes"] = {each["name"]: len(each["classes"]) for each in attributes}
    return found | {"bytes": sum(file["bytes"] for file in saved.files.values())}


def _aligned(found: dict[str, Any]) -> str:
    """Return a line for each thing that is known."""
    lines = {name: _in_words(value) for name, value in found.items()}
    width = max(map(len, lines))
    return "\n".join(f"{name:{width}}  {words}" for name, words in lines.items() if words)


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} ({count:,} classes)" for name, count in value.items())
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else ""
    return "" if value is None else f"{value:,}"

"""A store as files: arrays of numbers, and JSON for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index.engines.column import Column
from fashionsearch.index.engines.room import Room
from fashionsearch.index.engines.store import Store
from fashionsearch.index.rows import Rows, is_plain, row_lengths


def to_files(store: Store) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return arrays and JSON from which `from_files` makes an equal store, without the dead slots."""
    slots = np.array(list(store.slot_of.values()), dtype=np.intp)
    arrays: dict[str, NDArray[Any]] = {"vectors": store.vectors[slots]}
    fields = []
    for number, (name, column) in enumerate(store.columns.items()):
        kept = column.take(slots)
        arrays[f"field{number}"] = kept.codes
        fields.append({"name": name, "values": kept.values})
    content = {
        "dim": store.dim,
        "id_kind": store.id_kind.__name__ if store.id_kind else None,
        "ids": list(store.slot_of),
        "sources": store.sources(slots).tolist(),
        "fields": fields,
    }
    return arrays, content


def from_files(arrays: Mapping[str, NDArray[Any]], content: Mapping[str, Any], room: Room) -> Store:
    """Return the store that `to_files` described.

    Raises:
        CorruptFileError: if it isn't one.
    """
    ids, sources, vectors, dim = content["ids"], content["sources"], arrays["vectors"], content["dim"]
    kind, count = {"str": str, "int": int, None: None}[content["id_kind"]], len(ids)
    lengths = row_lengths(vectors) if vectors.ndim == 2 and vectors.dtype == np.float32 else np.zeros(0)
    names = [entry["name"] for entry in content["fields"]]
    for fits, what in (
        (
            type(dim) is int and vectors.shape == (count, dim) and len(lengths) == count,
            "the shape of the vectors",
        ),
        (np.isfinite(lengths).all() and (lengths > 0).all(), "a vector that is zero or not finite"),
        (all(type(item) is kind for item in ids), "an id of another kind"),
        (len(set(ids)) == count, "an id that occurs twice"),
        (len(sources) == count and all(s is None or type(s) is str for s in sources), "the sources"),
        (all(type(name) is str for name in names) and len(set(names)) == len(names), "the fields' names"),
    ):
        if not fits:
            raise errors.CorruptFileError(f"the index's rows are damaged: {what}; restore it from a copy")
    columns = {}
    for number, entry in enumerate(content["fields"]):
        values, codes = entry["values"], arrays[f"field{number}"]
        in_range = codes.shape == (count,) and ((codes >= -1) & (codes < len(values))).all()
        if codes.dtype != np.int32 or not in_range or not all(is_plain(value) for value in values):
            raise errors.CorruptFileError(
                f"the index's rows are damaged: the values of the field {entry['name']!r}; restore it from a copy"
            )
        columns[entry["name"]] = Column(values, codes)
    return Store.of(Rows(ids, vectors, [], sources), lengths.astype(np.float32), columns, kind, room)

"""A store as files: arrays of numbers, and JSON for the rest.

In a saved index all arrays are in one file, which is verified as a whole. In a checkpoint the vectors have a file of their
own, which is mapped: nothing of it is read before it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.index.engines.base import Graph
from fashionsearch.index.engines.blocks import Blocks
from fashionsearch.index.engines.column import Column
from fashionsearch.index.engines.room import Room
from fashionsearch.index.engines.store import Store
from fashionsearch.index.rows import Id, Rows, are_int64, is_plain, row_lengths

Arrays: TypeAlias = "dict[str, NDArray[Any]]"


def to_files(store: Store) -> tuple[Arrays, dict[str, Any]]:
    """Return arrays and JSON from which `from_files` makes an equal store, without the dead slots."""
    slots = np.array(list(store.slot_of.values()), dtype=np.intp)
    arrays: Arrays = {"vectors": store.vectors[slots]}
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
    ids, vectors, dim = content["ids"], arrays["vectors"], content["dim"]
    lengths = row_lengths(vectors) if vectors.ndim == 2 and vectors.dtype == np.float32 else np.zeros(0)
    fits = type(dim) is int and vectors.shape == (len(ids), dim) and len(lengths) == len(ids)
    return _store(
        ids, content["sources"], vectors if fits else None, lengths.astype(np.float32), arrays, content, room
    )


def to_mapped(store: Store) -> tuple[NDArray[np.float32], Arrays, dict[str, Any]]:
    """Return vectors, arrays and JSON from which `from_mapped` makes an equal store, without the dead slots.

    The array "digests" of the vectors' blocks is left to the caller, because it takes long.
    """
    arrays, content = to_files(store)
    vectors = arrays.pop("vectors")
    slots = np.array(list(store.slot_of.values()), dtype=np.intp)
    arrays["norms"] = store.norms[slots]
    if are_int64(content["ids"]):
        arrays["ids"], content["ids"] = np.array(content["ids"], dtype=np.int64), None
    if content["sources"].count(None) == len(content["sources"]):
        content["sources"] = None
    return vectors, arrays, content


def from_mapped(
    mapped: storage.Mapped,
    arrays: Mapping[str, NDArray[Any]],
    content: Mapping[str, Any],
    room: Room,
    path: Path,
) -> Store:
    """Return the store that `to_mapped` described, of whose vectors nothing has been read.

    Args:
        mapped: the file of vectors.
        arrays: the others.
        content: the rest.
        room: where vectors lie that are added.
        path: of the file, for an error.

    Raises:
        CorruptFileError: if it isn't one.
    """
    ids: list[Id] = arrays["ids"].tolist() if content["ids"] is None else content["ids"]
    sources = [None] * len(ids) if content["sources"] is None else content["sources"]
    dim, norms = content["dim"], arrays["norms"]
    fits = (
        type(dim) is int
        and len(mapped.content) == 4 * len(ids) * dim
        and norms.shape == (len(ids),)
        and norms.dtype == np.float32
    )
    if not fits:
        return _store(ids, sources, None, norms, arrays, content, room)
    vectors = np.frombuffer(mapped.content, dtype=np.float32).reshape(len(ids), dim)
    blocks = Blocks(mapped, vectors.shape, arrays["digests"], path)
    return _store(ids, sources, vectors, norms, arrays, content, room, blocks)


def _store(
    ids: list[Id],
    sources: list[str | None],
    vectors: NDArray[np.float32] | None,
    norms: NDArray[np.float32],
    arrays: Mapping[str, NDArray[Any]],
    content: Mapping[str, Any],
    room: Room,
    blocks: Blocks | None = None,
) -> Store:
    """Return a store of what has been read; `vectors` is None where they don't fit the ids."""
    kind, count = {"str": str, "int": int, None: None}[content["id_kind"]], len(ids)
    names = [entry["name"] for entry in content["fields"]]
    for fits, what in (
        (vectors is not None, "the shape of the vectors"),
        (((norms > 1e-16) & (norms < 1e16)).all(), "a vector that is too short, too long or not finite"),
        (set(map(type, ids)) <= {kind}, "an id of another kind"),
        (len(sources) == count and set(map(type, sources)) <= {str, type(None)}, "the sources"),
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
    whole = np.zeros((0, 1), dtype=np.float32) if vectors is None else vectors  # which was checked above
    store = Store.of(Rows(ids, whole, [], sources), norms, columns, kind, room, blocks)
    if len(store) != count:
        raise errors.CorruptFileError(
            "the index's rows are damaged: an id that occurs twice; restore it from a copy"
        )
    return store


def fill(graph: Graph, saved: storage.Saved, notes: Any, count: int, path: Callable[[], Path]) -> None:
    """Read a saved graph of so many rows.

    Args:
        graph: an empty one.
        saved: what holds it.
        notes: of it.
        count: of rows.
        path: returns that of its file, once that is verified.

    Raises:
        CorruptFileError: if it isn't what was saved, or of other rows.
    """
    labels = saved.arrays("graph.safetensors")["labels"]
    if labels.shape != (count,):
        raise errors.CorruptFileError(f"{saved.folder}: the graph is of another number of items")
    graph.read(path(), labels, notes)

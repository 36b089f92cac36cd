"""Rows of an index as records of a database, each with a digest, and where the database stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index.rows import Rows, check_vectors, is_plain

Record: TypeAlias = tuple[str, bytes, str, str, int, bytes]  # id, vector, metadata, source, change, digest
_DIGEST_BYTES = 16
# Made once, which is half of the work.
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Head:
    """Where a journal stands.

    Attributes:
        change: number of the last change; 0 before the first.
        epoch: drawn anew whenever changes were lost: what was made before is of no use then.
        known_from: the change from which on removals are known.
        id_kind: the kind of ids, str or int, which the first row ever added decides.
        next_id: one more than the largest integer id there ever was, or 0.
        count: of the rows.
    """

    change: int
    epoch: str
    known_from: int
    id_kind: type | None
    next_id: int
    count: int


def text(value: object) -> str:
    """Return an id, metadata or a source as JSON: in ASCII, because SQLite takes no text that isn't UTF-8.

    Examples:
        >>> text(7), text({"price": None})
        ('7', '{"price":null}')
    """
    if value is None:
        return "null"
    try:
        if type(value) is int:  # an encoder takes longer for it than all else of a row
            return str(value)
        return _encode(value)
    except ValueError as error:  # thousands of digits
        raise errors.InputError("a number with so many digits can't be kept; give it as text") from error


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two items' metadata are the same, where 1, 1.0 and True are not.

    Examples:
        >>> same({"a": 1}, {"a": 1}), same({"a": 1}, {"a": True})
        (True, False)
    """

    def typed(metadata: Mapping[str, Any]) -> dict[str, Any]:
        return {name: (type(value), value) for name, value in metadata.items()}

    return typed(one) == typed(other)


def record_of(rows: Rows, place: int, change: int) -> Record:
    """Return the record of one of the rows, which belongs to a change."""
    vector: NDArray[np.float32] = np.ascontiguousarray(rows.vectors[place], dtype="<f4")
    source = rows.sources[place]
    row = (
        text(rows.ids[place]),
        vector.tobytes(),
        text(dict(rows.metadata[place])),
        text(None if source is None else str(source)),
        change,
    )
    return (*row, digest(*row))


def rows_of(records: Sequence[Record], dim: int) -> Rows:
    """Return the rows of some records.

    Raises:
        ValueError: if one isn't what was written, or holds what no index does: a digest tells of accidents and not of
            attackers.
    """
    for record in records:
        if digest(*record[:-1]) != record[-1]:
            raise ValueError(f"the item {record[0]} isn't what was written")
    vectors = np.frombuffer(b"".join(record[1] for record in records), dtype="<f4").reshape(len(records), dim)
    ids = [json.loads(record[0]) for record in records]
    metadata = [json.loads(record[2]) for record in records]
    sources = [json.loads(record[3]) for record in records]
    for record, item, fields, source in zip(records, ids, metadata, sources, strict=True):
        if (
            type(item) not in (str, int)
            or type(fields) is not dict
            or not (source is None or type(source) is str)
            or not all(name and is_plain(value) for name, value in fields.items())
        ):
            raise ValueError(f"the item {record[0][:40]} holds what no item does")
    try:
        return Rows(ids, check_vectors(vectors, dim), metadata, sources)
    except errors.InputError as error:
        raise ValueError(str(error)) from error


def digest_of_facts(facts: Mapping[str, Any]) -> bytes:
    """Return a digest of named numbers and texts."""
    return digest(json.dumps(facts, sort_keys=True, default=repr))


def digest(*parts: object) -> bytes:
    """Return 16 bytes that tell texts, bytes and whole numbers from others, whatever a damaged file holds in their place."""
    contents: list[bytes] = []
    for part in parts:
        content = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        contents += len(content).to_bytes(8, "little"), content
    return hashlib.blake2b(b"".join(contents), digest_size=_DIGEST_BYTES).digest()

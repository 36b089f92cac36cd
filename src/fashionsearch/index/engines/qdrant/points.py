"""Rows as points of a collection.

A point's id is a digest of the item's, and its payload is

```text
id, source   of the item, as `readings.encoded` writes values
order        of its first insertion, in nanoseconds
length       of the vector, which Qdrant scales to length 1 where cosines are compared
fields       the readings of its metadata
```
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.engines.base import Settings
from fashionsearch.index.engines.remote import Hit
from fashionsearch.index.readings import NUMBER, REAL, decoded, encoded, is_large, metadata_of, readings
from fashionsearch.index.rows import Id, Rows
from fashionsearch.values import Value


def point_id(item: Id) -> str:
    """Return the id of an item's point."""
    digest = hashlib.blake2b(encoded(item).encode(), digest_size=16).digest()
    return str(uuid.UUID(bytes=digest))


def payload_of(rows: Rows, place: int, order: int) -> dict[str, Any]:
    """Return what stands beside the vector of one of some rows."""
    source = rows.sources[place]
    return {
        "id": encoded(rows.ids[place]),
        "source": None if source is None else encoded(str(source)),
        "order": order,
        "length": float(np.linalg.norm(rows.vectors[place].astype(np.float64))),
        "fields": fields_of(rows.metadata[place]),
    }


def fields_of(metadata: Mapping[str, Value]) -> dict[str, Any]:
    """Return readings, of which the numbers that floats can't hold are text: their order is compared here."""
    found = readings(metadata)
    for kept in found.values():
        for reading in (NUMBER, REAL):
            if reading in kept:
                number = kept.pop(reading)
                if is_large(number):
                    kept[exact(reading)] = str(number)
                else:
                    kept[reading] = float(number)
    return found


def exact(reading: str) -> str:
    """Return the name of the reading, as text, of numbers that floats can't hold."""
    return f"{reading}_exact"


def direction(vector: NDArray[np.float32], metric: str) -> list[float]:
    """Return a vector as it is sent: a server scales to length 1 what isn't very short, and so that is done before."""
    if metric == "cosine":
        vector = (vector / np.linalg.norm(vector.astype(np.float64))).astype(np.float32)
    found: list[float] = vector.tolist()
    return found


def rows_of(ids: Sequence[Id], records: Sequence[Any], settings: Settings) -> Rows:
    """Return the rows of some points, with their vectors in the length they had."""
    payloads = [record.payload for record in records]
    vectors = np.array([record.vector for record in records], dtype=np.float64)
    if settings.metric == "cosine":
        vectors = vectors * np.array([payload["length"] for payload in payloads])[:, None]
    return Rows(
        list(ids),
        vectors.astype(np.float32).reshape(len(ids), settings.dim),
        [metadata_of(payload["fields"], private=True) for payload in payloads],
        [_source(payload) for payload in payloads],
    )


def hit(point: Any, metric: str) -> Hit:
    """Return a point that was found."""
    payload = point.payload
    return Hit(
        cast("Id", decoded(payload["id"])),
        point.score if metric == "cosine" else -point.score,
        payload["order"],
        metadata_of(payload["fields"]),
        _source(payload),
    )


def _source(payload: Mapping[str, Any]) -> str | None:
    return None if payload["source"] is None else str(decoded(payload["source"]))

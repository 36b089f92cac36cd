"""What a migration notes in rows: in a new one of which old vector it was made, in an old one that nobody embedded it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.mapping import sketch
from fashionsearch.index.rows import PRIVATE, Rows
from fashionsearch.values import Value

MADE_OF = f"{PRIVATE}made of"  # in a new row: a sketch of the old vector that it stands for
MAPPED = f"{PRIVATE}mapped"  # in an old row: its vector was not embedded, but mapped from the new one
_ALIKE = 1e-4  # of unit vectors and of sketches, since an engine may round


def fitting(rows: Rows, fresh: Rows) -> dict[int, int]:
    """Return the places of those old rows of which new rows were made, and the places of these."""
    at = {item: place for place, item in enumerate(fresh.ids)}
    sketches = sketch(rows.vectors)
    return {
        number: at[item]
        for number, item in enumerate(rows.ids)
        if item in at and _fits(fresh.metadata[at[item]].get(MADE_OF), sketches[number])
    }


def plain(metadata: Mapping[str, Value]) -> Mapping[str, Value]:
    """Return metadata without what a migration notes in them."""
    return {name: value for name, value in metadata.items() if name not in (MADE_OF, MAPPED)}


def picked(rows: Rows, places: Sequence[int]) -> Rows:
    """Return the rows at some places."""
    return Rows(
        [rows.ids[place] for place in places],
        rows.vectors[list(places)],
        [rows.metadata[place] for place in places],
        [rows.sources[place] for place in places],
    )


def alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Return whether two vectors are the same within rounding."""
    return bool(np.allclose(one, other, rtol=0, atol=_ALIKE * float(np.linalg.norm(other))))


def notes(vectors: NDArray[np.float32]) -> list[str]:
    """Return what new rows that are made of old vectors (n, dim) note of these."""
    return [" ".join(f"{value:.6f}" for value in row) for row in sketch(vectors).tolist()]


def _fits(text: object, sketched: NDArray[np.float32]) -> bool:
    """Return whether a new row's note is of such a sketch; what can't be read is not."""
    try:
        values = [float(word) for word in str(text).split()]
    except ValueError:
        return False
    return len(values) == len(sketched) and bool(np.allclose(values, sketched, rtol=0, atol=_ALIKE))

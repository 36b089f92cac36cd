"""What a graph's answers become: similarities, and arrays that some rows have more of than others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHUNK = 2000


def grown(array: NDArray[Any], place: int, nothing: object) -> NDArray[Any]:
    """Return an array that has a place, filled up with what stands for nothing."""
    if place < len(array):
        return array
    room = max(_CHUNK, place + 1 - len(array), len(array))
    return np.concatenate([array, np.full(room, nothing, dtype=array.dtype)])


def widened(
    numbers: NDArray[np.int64],
    similarities: NDArray[np.float32],
    rows: NDArray[np.intp],
    more: NDArray[np.int64],
    alike: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Append to rows of (n, m) slots or labels and similarities, −1 and NaN where a row gets fewer than others.

    Args:
        numbers: (n, m).
        similarities: (n, m).
        rows: (p,) in ascending order: where each addition belongs.
        more: (p,) slots or labels to add.
        alike: (p,) their similarities.
    """
    counts = np.bincount(rows, minlength=len(numbers))
    filled = np.arange(counts.max()) < counts[:, None]
    added = np.full(filled.shape, -1, dtype=np.int64)
    scores = np.full(filled.shape, np.nan, dtype=np.float32)
    added[filled], scores[filled] = more, alike
    return np.concatenate([numbers, added], axis=1), np.concatenate([similarities, scores], axis=1)


def similarities_of(distances: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Return what hnswlib's distances mean: it gives 1 − cosine, or the squared distance."""
    if metric == "cosine":
        # Not by `clip`, which takes a single query ten times as long.
        similarities: NDArray[np.float32] = 1 - distances
        np.maximum(similarities, -1, out=similarities)
        return np.minimum(similarities, 1, out=similarities)
    return -np.sqrt(distances)

"""How early what is relevant comes in a ranking."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashionsearch import errors


def average_precision_at_k(relevant: ArrayLike, available: ArrayLike) -> NDArray[np.float64]:
    """Return each query's average precision over its first k matches; the mean over the queries is mAP@k.

    It is the sum of the precisions at the places of the relevant matches, divided by how many relevant ones k places
    could hold (Manning et al. 2008, Introduction to Information Retrieval, section 8.4).

    Args:
        relevant: (n, k) bool, whether each match is relevant, nearest first.
        available: (n,) how many relevant items there are to find, from 1 up.

    Returns:
        (n,) float64 in [0, 1].

    Raises:
        InputError: if the shapes don't fit or are empty, or a query has fewer relevant items than were found.

    Examples:
        >>> average_precision_at_k([[True, False, True]], [2]).round(3).tolist()
        [0.833]
    """
    try:
        hits, total = np.asarray(relevant, dtype=np.bool_), np.asarray(available)
    except ValueError as error:
        raise errors.InputError(
            f"relevant has rows of different lengths; fill them with False: {error}"
        ) from error
    if hits.ndim != 2 or not hits.size or total.shape != hits.shape[:1]:
        raise errors.InputError(
            f"relevant has shape {hits.shape} and available {total.shape}; give (n, k) and (n,)"
        )
    if (total < np.maximum(hits.sum(axis=1), 1)).any():
        raise errors.InputError(
            "a query has no relevant item, or fewer than were found; leave out queries with nothing to find, and count "
            "the relevant items of the whole collection"
        )
    precisions = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    average: NDArray[np.float64] = (precisions * hits).sum(axis=1) / np.minimum(total, hits.shape[1])
    return average

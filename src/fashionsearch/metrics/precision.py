"""How much of what was found is of the query's kind."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fashionsearch import errors


def precision_at_k(matched: ArrayLike, expected: ArrayLike) -> float:
    """Return the mean fraction of matches whose label is the query's: precision@k.

    Args:
        matched: (n, k) labels of the matches, nearest first.
        expected: (n,) labels of the queries.

    Raises:
        InputError: if the shapes don't fit or are empty.

    Examples:
        >>> precision_at_k([["Shirts", "Jeans"], ["Jeans", "Jeans"]], ["Shirts", "Jeans"])
        0.75
    """
    try:
        rows, truth = np.asarray(matched), np.asarray(expected)
    except ValueError as error:
        raise errors.InputError(
            f"matched has rows of different lengths; fill them with None: {error}"
        ) from error
    if rows.ndim != 2 or not rows.size or truth.shape != rows.shape[:1]:
        raise errors.InputError(
            f"matched has shape {rows.shape} and expected {truth.shape}; give (n, k) labels and (n,) labels"
        )
    return float((rows == truth[:, None]).mean())

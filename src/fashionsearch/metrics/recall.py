"""How much of what should be found was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors


def recall_at_k(
    found: Sequence[Sequence[Any]] | NDArray[Any], expected: Sequence[Sequence[Any]] | NDArray[Any]
) -> float:
    """Return the mean fraction of the expected ids that were found: recall@k of approximate against exact search.

    Args:
        found: (n, k) ids; None is an empty place.
        expected: (n, k') ids that should be there; None is an empty place.

    Returns:
        The mean over the queries that expect anything, in [0, 1].

    Raises:
        InputError: if the numbers of queries differ, or no query expects anything.

    Examples:
        >>> recall_at_k([["a", "b"], ["c", "x"]], [["a", "b"], ["c", "d"]])
        0.75
    """
    if len(found) != len(expected):
        raise errors.InputError(
            f"found has {len(found)} queries and expected has {len(expected)}; give one row each"
        )
    shares = recalls(found, expected)
    if not shares:
        raise errors.InputError("no query expects anything, so there is no recall to measure")
    return float(np.mean(shares))


def recalls(
    found: Sequence[Sequence[Any]] | NDArray[Any], expected: Sequence[Sequence[Any]] | NDArray[Any]
) -> list[float]:
    """Return the fraction of the expected ids that were found, of each query that expects any; None is an empty place."""
    shares = []
    for ours, truth in zip(found, expected, strict=True):
        wanted = {item for item in truth if item is not None}
        if wanted:
            shares.append(len(wanted.intersection(ours)) / len(wanted))
    return shares

"""Old rows searched by a new encoder's queries: found by mapped queries, ordered by estimates of their new vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.engines.base import Engine, fetch_present
from fashionsearch.index.filters import Condition
from fashionsearch.index.mapping import SpaceMap
from fashionsearch.index.queries import unit
from fashionsearch.index.rows import Id
from fashionsearch.results import Matches

POOL = 64  # candidates whose order is that of their estimates; those beyond follow in the order of the mapped query
_AT_ONCE = 20_000  # rows that are estimated together


def search(
    old: Engine,
    mapping: SpaceMap,
    vectors: NDArray[np.float32],
    width: int,
    condition: Condition | None,
    exact: bool,
    *,
    left_out: Callable[[Sequence[Id]], Iterable[Id]],
) -> Matches:
    """Return old rows for queries in the new space, with estimated similarities on the scale of the new encoder's.

    Args:
        old: holds the rows.
        mapping: from one space to the other.
        vectors: (n, new dim) queries.
        width: rows to find for each.
        condition: that they must meet, or None.
        exact: compare with every row.
        left_out: returns those of some ids that are no answers: their similarities are NaN, as those of empty places.
    """
    found = old.search(mapping.probes(vectors), width, condition, exact)
    pieces = max(1, _AT_ONCE // max(1, found.ids.shape[1]))
    asked = unit(vectors)
    similarities = np.full(found.ids.shape, np.nan, dtype=np.float32)
    for start in range(0, len(found), pieces):
        part = slice(start, start + pieces)
        known = {item for row in found.ids[part].tolist() for item in row if item is not None}
        rows = fetch_present(old, list(known.difference(left_out(list(known)))))
        if not len(rows):
            continue
        estimates = unit(mapping.estimates(rows.vectors))
        place = {item: number for number, item in enumerate(rows.ids)}
        at = np.array(
            [[place.get(item, -1) for item in row] for row in found.ids[part].tolist()], dtype=np.intp
        )
        for query, places in enumerate(at.reshape(-1, found.ids.shape[1]), start):
            there = np.flatnonzero(places >= 0)
            scores = mapping.rescaled(estimates[places[there]] @ asked[query])
            similarities[query, there] = _monotone(scores, int((there < POOL).sum()))
    return replace(found, similarities=similarities)


def _monotone(scores: NDArray[np.float32], pool: int) -> NDArray[np.float32]:
    """Return scores of which those beyond the pool are no better than any before: a page doesn't depend on its width."""
    worst = scores[:pool].min() if pool else np.float32(1)
    rest = np.minimum.accumulate(np.minimum(scores[pool:], worst))
    return np.concatenate([scores[:pool], rest])

"""One search: which way to look for candidates, and their ranking by similarity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fashionsearch import neighbours as exact
from fashionsearch.index.engines.hnsw import HnswGraph
from fashionsearch.index.engines.store import Store
from fashionsearch.index.filters import Condition
from fashionsearch.results import Matches

Scalar = TypeVar("Scalar", bound=np.generic)

# Nanoseconds at 128 dimensions on two cores, of which only the ratios count: to pick a row that a filter keeps, to compare
# it with a query, and of a walk through the graph for each of its candidates.
_PICK, _COMPARE, _WALK = 80, 14, 1400
_EQUAL = 1e-5  # the same photo, embedded in another batch, and the graph's float32


def find(
    store: Store,
    graph: HnswGraph | None,
    queries: NDArray[np.float32],
    k: int,
    conditions: Condition | None,
    *,
    metric: str,
    ef_search: int,
    query_sources: Sequence[str | None] | None,
) -> Matches:
    """Return the k nearest rows of each query, through the graph if there is one and it pays, else exactly.

    Args:
        store: the rows.
        graph: of all live rows; None searches exactly.
        queries: (n, dim) float32.
        k: rows to find for each.
        conditions: a filter on metadata.
        metric: "cosine" or "euclidean".
        ef_search: candidates of a walk through the graph.
        query_sources: the path of each query's photo, or None.
    """
    slots, similarities = exact.in_order(
        *_candidates(store, graph, queries, k, conditions, metric, ef_search)
    )
    if query_sources is not None:
        for query, source in enumerate(query_sources):
            _itself_first(store, slots[query], similarities[query], source)
    # As wide as was asked for, whatever was found; `Matches` says so by None and NaN.
    slots, similarities = _cut(slots, k, -1), _cut(similarities, k, np.nan)
    return Matches(
        store.identities(slots),
        similarities,
        store.metadata_of(slots),
        (slots >= 0).sum(axis=1),
        store.sources(slots),
    )


def _cut(rows: NDArray[Scalar], k: int, filling: float) -> NDArray[Scalar]:
    """Return (n, k): the first k columns, or all of them and a filling."""
    missing = k - rows.shape[1]
    if missing <= 0:
        return rows[:, :k]
    return np.pad(rows, ((0, 0), (0, missing)), constant_values=filling)


def _candidates(
    store: Store,
    graph: HnswGraph | None,
    queries: NDArray[np.float32],
    k: int,
    conditions: Condition | None,
    metric: str,
    ef_search: int,
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    kept = None if conditions is None else store.matching(conditions)
    count = len(store) if kept is None else len(kept)
    # The graph is poor at nearly all of its nodes.
    if graph is not None and k < count // 4:
        wider = k if kept is None else _wider(k, count / len(store))
        if kept is None or _walk_pays(len(queries), count, max(wider, ef_search)):
            found = graph.candidates(queries, wider, ef_search, store.vectors)
            if found is not None:
                slots, similarities = found if kept is None else _only(kept, store.size, *found)
                if ((slots >= 0).sum(axis=1) >= k).all():
                    return slots, similarities
    searched = np.flatnonzero(store.alive) if kept is None else kept
    slots = exact.nearest(store.vectors, store.norms, searched, queries, k, metric)
    return slots, exact.score(store.vectors, store.norms, slots, queries, metric)


def _only(
    kept: NDArray[np.intp], size: int, slots: NDArray[np.intp], similarities: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    wanted = np.zeros(size, dtype=bool)
    wanted[kept] = True
    passes = (slots >= 0) & wanted[slots]
    return np.where(passes, slots, -1), np.where(passes, similarities, np.nan)


def _wider(k: int, share: float) -> int:
    """Return how many candidates leave k after a filter: as many more as it takes away, and half as many again to spare."""
    return int(1.5 * k / share) + 10


def _walk_pays(queries: int, kept: int, candidates: int) -> bool:
    """Return whether a walk for so many candidates takes less time than to compare all rows that a filter keeps."""
    return queries * candidates * _WALK < kept * (_PICK + queries * _COMPARE)


def _itself_first(
    store: Store, slots: NDArray[np.intp], similarities: NDArray[np.float32], source: str | None
) -> None:
    """Put the row that was added from the queried file before its equals, in place: catalogues hold photos twice."""
    if source is not None and len(slots):
        equals = int((similarities >= similarities[0] - _EQUAL).sum())
        for place in range(1, equals):
            if store.source(slots[place]) == source:
                slots[: place + 1] = np.roll(slots[: place + 1], 1)
                similarities[: place + 1] = np.roll(similarities[: place + 1], 1)
                return

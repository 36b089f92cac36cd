"""One search: which way to look for candidates, and their ranking by similarity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fashionsearch import neighbours as exact
from fashionsearch.index.engines.base import Graph, Settings
from fashionsearch.index.engines.kept import Kept
from fashionsearch.index.engines.store import Store
from fashionsearch.index.filters import Condition
from fashionsearch.results import Matches

# Nanoseconds at 128 dimensions on two cores, of which only the ratios count: to pick a row that a filter keeps, to compare
# it with a query, and of a walk through the graph for each of its candidates.
_PICK, _COMPARE, _WALK = 80, 14, 1400


def search(
    store: Store,
    graph: Graph | None,
    queries: NDArray[np.float32],
    k: int,
    condition: Condition | None,
    settings: Settings,
) -> Matches:
    """Return the k nearest rows of each query, through the graph if there is one and it pays, else exactly.

    Args:
        store: the rows.
        graph: of all its rows; None searches exactly.
        queries: (n, dim) float32.
        k: rows to find for each; the answer is as wide as that, or as there are rows.
        condition: that the rows' metadata must meet, if any.
        settings: how rows are compared, and how far a walk through the graph looks.
    """
    k = min(k, len(store))
    candidates = _candidates(store, graph, queries, k, condition, settings)
    slots, similarities = exact.sort_by_similarity(*candidates)
    slots, similarities = slots[:, :k], similarities[:, :k].astype(np.float32)
    missing = k - slots.shape[1]
    if missing > 0:
        slots = np.pad(slots, ((0, 0), (0, missing)), constant_values=-1)
        similarities = np.pad(similarities, ((0, 0), (0, missing)), constant_values=np.nan)
    return Matches(
        store.identities(slots),
        similarities,
        store.metadata(slots),
        (slots >= 0).sum(axis=1),
        store.sources(slots),
    )


def _candidates(
    store: Store,
    graph: Graph | None,
    queries: NDArray[np.float32],
    k: int,
    condition: Condition | None,
    settings: Settings,
) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
    kept = None if condition is None else store.matching(condition)
    count = len(store) if kept is None else len(kept.slots)
    # The graph is poor at nearly all of its nodes.
    if graph is not None and k < count // 4:
        wider = k if count == len(graph) else _wider(k, count / max(count, len(graph)))
        if kept is None or graph_is_cheaper(len(queries), count, max(wider, settings.ef_search)):
            found = graph.candidates(queries, wider, settings.ef_search, store.prepared)
            if found is not None:
                slots, similarities = _only(store, kept, *found)
                if ((slots >= 0).sum(axis=1) >= k).all():
                    return slots, similarities
    searched = np.flatnonzero(store.alive) if kept is None else kept.slots
    vectors = store.touched(searched)
    slots = exact.nearest(vectors, store.norms, searched, queries, k, settings.metric)
    return slots, exact.score(vectors, slots, queries, settings.metric)


def _only(
    store: Store,
    kept: Kept | None,
    slots: NDArray[np.intp],
    similarities: NDArray[np.float32],
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return candidates without what a filter takes away, and what a change is about to add or has just removed."""
    if kept is None:
        passes = store.live(slots)
    else:  # what a change is about to add lies behind the last
        passes = (slots >= 0) & (slots < len(kept.flags))
        passes &= kept.flags.take(np.where(passes, slots, 0)) if len(kept.flags) else False
    return np.where(passes, slots, -1), np.where(passes, similarities, np.nan)


def _wider(k: int, share: float) -> int:
    """Return how many candidates leave k after a filter: as many more as it takes away, and half as many again to spare."""
    return int(1.5 * k / share) + 10


def graph_is_cheaper(queries: int, kept: int, candidates: int) -> bool:
    """Return whether a walk for so many candidates takes less time than to compare all rows that a filter keeps."""
    return queries * candidates * _WALK < kept * (_PICK + queries * _COMPARE)

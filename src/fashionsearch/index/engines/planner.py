"""One search: which way to look for candidates, and their ranking by similarity."""

from __future__ import annotations

import math
from typing import TypeAlias

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
_SPREAD, _SPARE, _MARGIN, _WIDER = 2.2, 8, 1.5, 3  # found good by benchmarks/filters.py

_Part: TypeAlias = (
    "tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.floating]]"  # queries, and what they found
)


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
    slots, similarities = slots[:, :k], similarities[:, :k].astype(np.float32, copy=False)
    if (missing := k - slots.shape[1]) > 0:
        slots = np.pad(slots, ((0, 0), (0, missing)), constant_values=-1)
        similarities = np.pad(similarities, ((0, 0), (0, missing)), constant_values=np.nan)
    return store.matches(slots, similarities)


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
    if graph is None or k >= count // 4:
        return _compared(store, kept, queries, k, settings)
    if kept is None:
        parts, rest = _walked(store, graph, queries, k, settings)
    else:
        parts, rest = _filtered(store, graph, kept, queries, k, settings)
    if len(rest):
        parts.append((rest, *_compared(store, kept, queries[rest], k, settings)))
    return _joined(parts, len(queries))


def _compared(
    store: Store, kept: Kept | None, queries: NDArray[np.float32], k: int, settings: Settings
) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
    """Return candidates by comparing all rows that a filter keeps."""
    searched = np.flatnonzero(store.alive) if kept is None else kept.slots
    vectors = store.touched(searched)
    if kept is not None and kept.gathers(store.dim):
        rows, norms = kept.gathered(vectors, store.norms)
        places = exact.nearest(rows, norms, np.arange(len(rows)), queries, k, settings.metric)
        return kept.slots[places], exact.score(rows, places, queries, settings.metric)
    slots = exact.nearest(vectors, store.norms, searched, queries, k, settings.metric)
    return slots, exact.score(vectors, slots, queries, settings.metric)


def _walked(
    store: Store, graph: Graph, queries: NDArray[np.float32], k: int, settings: Settings
) -> tuple[list[_Part], NDArray[np.intp]]:
    """Return candidates from the graph, and for which queries these are too few."""
    everything = np.arange(len(queries))
    found = graph.candidates(queries, k, settings.ef_search, store.prepared)
    if found is None:
        return [], everything
    slots, similarities = found
    passes = store.live(slots)  # not what a change is about to add, or has just removed
    if passes.all() and slots.shape[1] >= k:
        return [(everything, slots, similarities)], everything[:0]
    enough = passes.sum(axis=1) >= k
    slots, similarities = np.where(passes, slots, -1), np.where(passes, similarities, np.nan)
    if enough.all():
        return [(everything, slots, similarities)], everything[:0]
    return [(everything[enough], slots[enough], similarities[enough])], everything[~enough]


def _filtered(
    store: Store, graph: Graph, kept: Kept, queries: NDArray[np.float32], k: int, settings: Settings
) -> tuple[list[_Part], NDArray[np.intp]]:
    """Return candidates that a filter keeps, from walks that are longer where they found too few, and what is left to do.

    The nearest k of a walk's candidates that are kept are the nearest k of all that are.
    """
    if len(queries) == 1:
        return _filtered_one(store, graph, kept, queries, k, settings)
    parts: list[_Part] = []
    rest, count, rows = np.arange(len(queries)), len(kept.slots), len(store)
    pick = 0 if kept.gathers(store.dim) else _PICK
    depths = np.ones(len(queries))
    wider, walked = _reach(k, kept.depth(rows)), 0
    while len(rest) and walked < rows:
        if not graph_is_cheaper(len(rest), count, max(wider, settings.ef_search), pick):
            break
        found = graph.candidates(queries[rest], wider, settings.ef_search, store.prepared)
        if found is None:
            break
        slots, similarities, places = _only(kept, *found)
        deep = places[:, k - 1] + 1 if places.shape[1] >= k else np.zeros(len(rest))
        # A walk misses some of its last candidates.
        enough = (deep > 0) & (_MARGIN * deep <= max(wider, settings.ef_search))
        if enough.any():
            depths[rest[enough]] = deep[enough] / k
            parts.append((rest[enough], slots[enough], similarities[enough]))
        rest, walked, wider = rest[~enough], wider, _WIDER * wider
    depths[rest] = 2 * walked / k
    if walked:
        kept.learn(depths, rows)
    else:
        kept.forget(rows)
    return parts, rest


def _filtered_one(
    store: Store, graph: Graph, kept: Kept, query: NDArray[np.float32], k: int, settings: Settings
) -> tuple[list[_Part], NDArray[np.intp]]:
    """Return the same for one query, the usual case of a shop, in a fraction of the time that arrays of one row take."""
    count, rows, one = len(kept.slots), len(store), np.zeros(1, dtype=np.intp)
    pick = 0 if kept.gathers(store.dim) else _PICK
    wider, walked = _reach(k, kept.depth(rows)), 0
    while walked < rows:
        reached = max(wider, settings.ef_search)
        found = (
            graph.candidates(query, wider, settings.ef_search, store.prepared)
            if graph_is_cheaper(1, count, reached, pick)
            else None
        )
        if found is None:
            break
        places = kept.holds(found[0][0]).nonzero()[0]
        if len(places) >= k and _MARGIN * (deep := int(places[k - 1]) + 1) <= reached:
            kept.learn_one(deep / k, rows)
            places = places[None]
            return [(one, found[0].take(places), found[1].take(places))], one[:0]
        walked, wider = wider, _WIDER * wider
    if walked:
        kept.learn_one(2 * walked / k, rows)
    else:
        kept.forget(rows)
    return [], one


def _only(
    kept: Kept, slots: NDArray[np.intp], similarities: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.intp]]:
    """Return those of (n, m) candidates that a filter keeps, in their order, and at which places they were; −1 fills up."""
    rows, places = np.nonzero(kept.holds(slots))
    counts = np.bincount(rows, minlength=len(slots))
    filled = np.arange(counts.max(initial=0)) < counts[:, None]
    found, alike = np.full(filled.shape, -1, dtype=np.intp), np.full(filled.shape, np.nan, dtype=np.float32)
    at = np.full(filled.shape, -1, dtype=np.intp)
    found[filled], alike[filled], at[filled] = slots[rows, places], similarities[rows, places], places
    return found, alike, at


def _reach(k: int, depth: float) -> int:
    """Return how many candidates a walk is to find, so that hardly any query finds fewer than k that are kept.

    Where a filter keeps one row of `depth` at random, the k-th lies k·depth deep, give or take its spread.
    """
    return int(_MARGIN * (k * depth + _SPREAD * math.sqrt(k * depth * max(0.0, depth - 1)))) + _SPARE


def _joined(parts: list[_Part], count: int) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
    """Return the candidates of so many queries as one array of slots and one of similarities."""
    if len(parts) == 1:
        return parts[0][1:]
    shape = count, max(slots.shape[1] for _, slots, _ in parts)
    slots, similarities = np.full(shape, -1, dtype=np.intp), np.full(shape, np.nan)
    for rows, found, alike in parts:
        slots[rows, : found.shape[1]], similarities[rows, : found.shape[1]] = found, alike
    return slots, similarities


def graph_is_cheaper(queries: int, kept: int, candidates: int, pick: int = _PICK) -> bool:
    """Return whether a walk for so many candidates takes less time than to compare all rows that a filter keeps."""
    return queries * candidates * _WALK < kept * (pick + queries * _COMPARE)

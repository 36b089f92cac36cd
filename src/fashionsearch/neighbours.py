"""Exact search: every similarity through BLAS, block by block; the ground truth for any other.

The products are in float32. Where their rounding could cost a query one of its neighbours, as with vectors that share an
offset, it is searched again in float64 from the vectors' own centre.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

METRICS = ("cosine", "euclidean")
_BLOCK_BYTES = 8 * 2**20
_FEW = 4
_RANKED_BYTES = 2**20  # rows in float64 that stay in the processor's cache
_SPARE = 8  # candidates beyond k, among which rounding may change places
_CENTRE_ROWS = 256  # rows whose mean is the centre


def nearest(
    vectors: NDArray[np.float32],
    norms: NDArray[np.float32],
    slots: NDArray[np.intp],
    queries: NDArray[np.float32],
    k: int,
    metric: str,
) -> NDArray[np.intp]:
    """Return (n, m) candidates among `slots`: each query's k nearest and a few spare, in no order."""
    wanted = min(k + _SPARE, len(slots))
    if wanted == len(slots):
        return np.broadcast_to(slots, (len(queries), wanted))
    found, scores = _search(vectors, norms, slots, queries, wanted, metric)
    doubtful = np.flatnonzero(_may_be_wrong(scores, k, queries, norms, metric))
    if len(doubtful):
        found[doubtful] = _search_precisely(vectors, slots, queries[doubtful], wanted, metric)
    return found


def nearest_others(rows: NDArray[np.floating], k: int) -> NDArray[np.intp]:
    """Return (n, k) positions: of each of n rows the k others nearest to it by cosine, nearest first."""
    vectors = np.ascontiguousarray(rows, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=1)
    norms[norms == 0] = np.inf  # a row of zeros is like no other
    everything = np.arange(len(vectors))
    found = nearest(vectors, norms, everything, vectors, k + 1, "cosine")
    others = np.where(found == everything[:, None], -1, found)
    return sort_by_similarity(others, score(vectors, others, vectors, "cosine"))[0][:, :k]


def _search(
    vectors: NDArray[np.float32],
    norms: NDArray[np.float32],
    slots: NDArray[np.intp],
    queries: NDArray[np.float32],
    wanted: int,
    metric: str,
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the (n, wanted) best of the slots by products in float32, in no order, and their scores."""
    # Picking rows copies them, so while most are wanted all are scored, and the others can't win.
    most = 2 * len(slots) > len(vectors)
    unwanted = np.ones(len(vectors) if most else 0, dtype=bool)
    unwanted[slots if most else slice(0)] = False
    if most:
        slots = np.arange(len(vectors))
    best_scores = np.full((len(queries), 0), -np.inf, dtype=np.float32)
    best_slots = np.zeros((len(queries), 0), dtype=np.intp)
    step = max(wanted, _BLOCK_BYTES // (4 * max(vectors.shape[1], len(queries))))
    for start in range(0, len(slots), step):
        block = slots[start : start + step]
        rows, lengths = (
            (vectors[start : start + step], norms[start : start + step])
            if most
            else (vectors[block], norms[block])
        )
        fresh = _scores(queries, rows, lengths, metric)
        if most:
            fresh[:, unwanted[start : start + step]] = -np.inf
        scores, places = _candidates(fresh, best_scores, wanted)
        scores = np.concatenate([best_scores, scores], axis=1)
        found = np.concatenate([best_slots, block[places]], axis=1)
        top = top_k(scores, wanted)
        best_scores, best_slots = np.take_along_axis(scores, top, 1), np.take_along_axis(found, top, 1)
    return best_slots, best_scores


def _scores(
    queries: NDArray[np.float32], rows: NDArray[np.float32], norms: NDArray[np.float32], metric: str
) -> NDArray[np.float32]:
    """Return (n, m) numbers that rank the rows of each query as their similarities do, by one product."""
    if metric == "cosine":
        if len(queries) < rows.shape[1]:  # fewer numbers to divide
            return _products(queries, rows) / norms
        scores: NDArray[np.float32] = queries @ (rows / norms[:, None]).T
        return scores
    # |q − r|² = |q|² − 2 (q·r − |r|²/2)
    products: NDArray[np.float32] = _products(queries, rows)
    products -= 0.5 * norms**2
    return products


def _products(queries: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    if len(queries) == 1:  # BLAS takes a fifth of the time where it knows that there is one vector
        one: NDArray[np.float32] = (rows @ queries[0])[None]
        return one
    products: NDArray[np.float32] = queries @ rows.T
    return products


def _may_be_wrong(
    scores: NDArray[np.float32],
    k: int,
    queries: NDArray[np.float32],
    norms: NDArray[np.float32],
    metric: str,
) -> NDArray[np.bool_]:
    """Return for which queries a row that is not a candidate may be among the k nearest, by the bound on rounding.

    A product of dim numbers is off by at most dim roundings of the product of the lengths. The spare candidates are the
    margin: what is left out scores no more than the worst of them.
    """
    ordered = np.partition(scores, (0, scores.shape[1] - k), axis=1).astype(np.float64)
    worst, needed = ordered[:, 0], ordered[:, scores.shape[1] - k]
    asked = np.sqrt(np.einsum("nd,nd->n", queries, queries, dtype=np.float64))
    longest: NDArray[np.float64] | float = 1.0
    if metric == "euclidean":  # a row longer than this is farther away than the k-th
        reach = np.sqrt(np.maximum(asked**2 - 2 * needed, 0))
        longest = np.minimum(1.01 * (asked + reach), float(norms.max()))
    rounding = np.finfo(np.float32).eps / 2 * (queries.shape[1] + 4)
    may_be: NDArray[np.bool_] = needed - worst <= 2 * rounding * longest * (asked + longest)
    return may_be


def _search_precisely(
    vectors: NDArray[np.float32],
    slots: NDArray[np.intp],
    queries: NDArray[np.float32],
    wanted: int,
    metric: str,
) -> NDArray[np.intp]:
    """Return the (n, wanted) best of the slots by products in float64 of what is left after taking away the centre."""
    sample = vectors[slots[:: max(1, len(slots) // _CENTRE_ROWS)]]
    centre = _prepared(sample, metric).mean(axis=0)
    asked = _prepared(queries, metric) - centre
    best_scores = np.full((len(queries), 0), -np.inf)
    best_slots = np.zeros((len(queries), 0), dtype=np.intp)
    step = max(wanted, _BLOCK_BYTES // (8 * max(vectors.shape[1], len(queries))))
    for start in range(0, len(slots), step):
        block = slots[start : start + step]
        rows = _prepared(vectors[block], metric) - centre
        fresh = asked @ rows.T - 0.5 * np.einsum("nd,nd->n", rows, rows)
        scores, places = _candidates(fresh, best_scores, wanted)
        scores = np.concatenate([best_scores, scores], axis=1)
        found = np.concatenate([best_slots, block[places]], axis=1)
        top = top_k(scores, wanted)
        best_scores, best_slots = np.take_along_axis(scores, top, 1), np.take_along_axis(found, top, 1)
    return best_slots


def _prepared(rows: NDArray[np.float32], metric: str) -> NDArray[np.float64]:
    """Return rows in float64; for cosine of length one, where the nearest are those at the least distance."""
    precise = rows.astype(np.float64)
    if metric == "cosine":
        lengths = np.sqrt(np.einsum("...d,...d->...", precise, precise))
        with np.errstate(divide="ignore", invalid="ignore"):
            precise /= lengths[..., None]
    return precise


def _candidates(
    fresh: NDArray[np.floating], best_scores: NDArray[np.floating], wanted: int
) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
    """Return (n, c) scores and columns of a block among which are all that may be of the best; −∞ and 0 fill up.

    Once there are best ones, few of a block beat the worst of them: to compare is ten times as fast as to rank.
    """
    if best_scores.shape[1] == wanted:
        rows, columns = np.nonzero(fresh > best_scores.min(axis=1, keepdims=True))
        counts = np.bincount(rows, minlength=len(fresh))
        if counts.max() <= _FEW * wanted:
            filled = np.arange(counts.max()) < counts[:, None]
            scores = np.full(filled.shape, -np.inf, dtype=fresh.dtype)
            places = np.zeros(filled.shape, dtype=np.intp)
            scores[filled], places[filled] = fresh[rows, columns], columns
            return scores, places
    top = top_k(fresh, wanted)
    return np.take_along_axis(fresh, top, 1), top


def top_k(scores: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    """Return the places of each row's largest scores, in no order."""
    columns = scores.shape[1]
    if columns <= count:
        return np.broadcast_to(np.arange(columns), scores.shape)
    return np.argpartition(scores, columns - count, axis=1)[:, columns - count :]


def score(
    vectors: NDArray[np.float32], candidates: NDArray[np.intp], queries: NDArray[np.float32], metric: str
) -> NDArray[np.float64]:
    """Return the similarities of each query's candidates, from their differences in float64.

    Args:
        vectors: (size, dim).
        candidates: (n, m) slots; −1 is none.
        queries: (n, dim).
        metric: "cosine" or "euclidean".

    Returns:
        (n, m), NaN where there was none.
    """
    scores = np.empty(candidates.shape)
    step = max(1, _RANKED_BYTES // (8 * vectors.shape[1] * max(1, candidates.shape[1])))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        differences = _prepared(vectors[candidates[part]], metric)
        differences -= _prepared(queries[part], metric)[:, None]
        squares = np.einsum("nmd,nmd->nm", differences, differences)
        # Rounded, so that vectors of one direction and other lengths stay equals.
        similar = np.round(1 - squares / 2, 15) if metric == "cosine" else -np.sqrt(squares)
        scores[part] = np.where(candidates[part] < 0, np.nan, similar)
    return np.clip(scores, -1, 1) if metric == "cosine" else scores


def sort_by_similarity(
    slots: NDArray[np.intp], similarities: NDArray[np.floating]
) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
    """Order each query's (n, m) candidates, nearest first and older first among equals; NaN goes last."""
    # A walk gives most rows in order, and to see that takes a tenth of the time to sort them.
    falling = similarities[:, :-1] > similarities[:, 1:]
    if np.count_nonzero(falling) == falling.size:
        return slots, similarities
    mixed = np.flatnonzero(~falling.all(axis=1))
    order = np.tile(np.arange(slots.shape[1]), (len(slots), 1))
    order[mixed] = np.lexsort((slots[mixed], -similarities[mixed]), axis=1)
    return np.take_along_axis(slots, order, 1), np.take_along_axis(similarities, order, 1)

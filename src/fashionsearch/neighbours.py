"""Exact search: every similarity through BLAS, block by block; the ground truth for any other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

METRICS = ("cosine", "euclidean")
_BLOCK_BYTES = 8 * 2**20
_FEW = 4
_RANKED_BYTES = 2**20  # rows in float64 that stay in the processor's cache
_SPARE = 8  # candidates beyond k, so that rounding in the fast formula can't cost a place


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
        scores, places = _contenders(fresh, best_scores, wanted)
        scores = np.concatenate([best_scores, scores], axis=1)
        found = np.concatenate([best_slots, block[places]], axis=1)
        top = best(scores, wanted)
        best_scores, best_slots = np.take_along_axis(scores, top, 1), np.take_along_axis(found, top, 1)
    return best_slots


def _scores(
    queries: NDArray[np.float32], rows: NDArray[np.float32], norms: NDArray[np.float32], metric: str
) -> NDArray[np.float32]:
    """Return (n, m) numbers that rank the rows of each query as their similarities do, by one product."""
    if metric == "cosine":
        scores: NDArray[np.float32] = queries @ (rows / norms[:, None]).T
        return scores
    # |q − r|² = |q|² − 2 (q·r − |r|²/2)
    products: NDArray[np.float32] = queries @ rows.T
    products -= 0.5 * norms**2
    return products


def _contenders(
    fresh: NDArray[np.float32], best_scores: NDArray[np.float32], wanted: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return (n, c) scores and columns of a block among which are all that may be of the best; −∞ and 0 fill up.

    Once there are best ones, few of a block beat the worst of them: to compare is ten times as fast as to rank.
    """
    if best_scores.shape[1] == wanted:
        rows, columns = np.nonzero(fresh > best_scores.min(axis=1, keepdims=True))
        counts = np.bincount(rows, minlength=len(fresh))
        if counts.max() <= _FEW * wanted:
            filled = np.arange(counts.max()) < counts[:, None]
            scores = np.full(filled.shape, -np.inf, dtype=np.float32)
            places = np.zeros(filled.shape, dtype=np.intp)
            scores[filled], places[filled] = fresh[rows, columns], columns
            return scores, places
    top = best(fresh, wanted)
    return np.take_along_axis(fresh, top, 1), top


def best(scores: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Return the places of each row's largest scores, in no order."""
    columns = scores.shape[1]
    if columns <= count:
        return np.broadcast_to(np.arange(columns), scores.shape)
    return np.argpartition(scores, columns - count, axis=1)[:, columns - count :]


def score(
    vectors: NDArray[np.float32],
    norms: NDArray[np.float32],
    candidates: NDArray[np.intp],
    queries: NDArray[np.float32],
    metric: str,
) -> NDArray[np.float32]:
    """Return the similarities, added up in float64, of each query's candidates.

    Args:
        vectors: (size, dim).
        norms: (size,) their lengths.
        candidates: (n, m) slots; −1 is none.
        queries: (n, dim).
        metric: "cosine" or "euclidean".

    Returns:
        (n, m), NaN where there was none.
    """
    scores = np.empty(candidates.shape, dtype=np.float32)
    step = max(1, _RANKED_BYTES // (8 * vectors.shape[1] * max(1, candidates.shape[1])))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        slots, precise = candidates[part], queries[part].astype(np.float64)
        rows = vectors[slots].astype(np.float64)
        if metric == "cosine":
            products = np.matmul(rows, precise[:, :, None])[:, :, 0]
            lengths = norms[slots] * np.linalg.norm(precise, axis=1, keepdims=True)
            similar = np.clip(products / lengths, -1, 1)
        else:
            similar = -np.linalg.norm(rows - precise[:, None], axis=2)
        scores[part] = np.where(slots < 0, np.nan, similar)
    return scores


def in_order(
    slots: NDArray[np.intp], similarities: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Order each query's (n, m) candidates, nearest first and older first among equals; NaN goes last."""
    order = np.lexsort((slots, -similarities), axis=1)
    return np.take_along_axis(slots, order, 1), np.take_along_axis(similarities, order, 1)

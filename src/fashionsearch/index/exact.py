"""Exact search: every similarity through BLAS, block by block; the ground truth for any other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

METRICS = ("cosine", "euclidean")
_BLOCK_BYTES = 32 * 2**20
_SPARE = 8  # candidates beyond k, so that rounding in the fast formula can't cost a place


def similarities(
    queries: NDArray[np.float32], rows: NDArray[np.float32], norms: NDArray[np.float32], metric: str
) -> NDArray[np.float32]:
    """Return (n, m) similarities: cosine in [−1, 1], or minus the Euclidean distance by the fast formula."""
    products = queries @ rows.T
    lengths = np.linalg.norm(queries, axis=1, keepdims=True)
    if metric == "cosine":
        scores: NDArray[np.float32] = np.clip(products / (lengths * norms), -1, 1)
    else:
        scores = -np.sqrt(np.maximum(lengths**2 + norms**2 - 2 * products, 0))
    return scores


def nearest(
    vectors: NDArray[np.float32],
    norms: NDArray[np.float32],
    slots: NDArray[np.intp],
    queries: NDArray[np.float32],
    k: int,
    metric: str,
) -> list[NDArray[np.intp]]:
    """Return each query's candidates among `slots`: the k nearest and a few spare, in no order."""
    wanted = min(k + _SPARE, len(slots))
    if wanted == len(slots):
        return [slots] * len(queries)
    # Picking rows copies them, so while most are wanted all are scored, and the others can't win.
    most = 2 * len(slots) > len(vectors)
    unwanted = np.ones(len(vectors) if most else 0, dtype=bool)
    unwanted[slots if most else slice(0)] = False
    if most:
        slots = np.arange(len(vectors))
    best_scores = np.full((len(queries), 0), -np.inf, dtype=np.float32)
    best_slots = np.zeros((len(queries), 0), dtype=np.intp)
    step = max(1, _BLOCK_BYTES // (4 * max(vectors.shape[1], len(queries))))
    for start in range(0, len(slots), step):
        block = slots[start : start + step]
        rows, lengths = (
            (vectors[start : start + step], norms[start : start + step])
            if most
            else (vectors[block], norms[block])
        )
        fresh = similarities(queries, rows, lengths, metric)
        if most:
            fresh[:, unwanted[start : start + step]] = -np.inf
        scores = np.concatenate([best_scores, fresh], axis=1)
        places = np.concatenate([best_slots, np.broadcast_to(block, (len(queries), len(block)))], axis=1)
        if scores.shape[1] > wanted:
            top = np.argpartition(-scores, wanted - 1, axis=1)[:, :wanted]
            scores, places = np.take_along_axis(scores, top, 1), np.take_along_axis(places, top, 1)
        best_scores, best_slots = scores, places
    return list(best_slots)


def rank(
    vectors: NDArray[np.float32],
    norms: NDArray[np.float32],
    candidates: NDArray[np.intp],
    query: NDArray[np.float32],
    metric: str,
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return one query's candidates, nearest first and older first among equals, and their similarities."""
    rows, query = vectors[candidates].astype(np.float64), query.astype(np.float64)
    if metric == "cosine":
        scores = np.clip(rows @ query / (norms[candidates] * np.linalg.norm(query)), -1, 1)
    else:
        scores = -np.linalg.norm(rows - query, axis=1)
    order = np.lexsort((candidates, -scores))
    return candidates[order], scores[order].astype(np.float32)

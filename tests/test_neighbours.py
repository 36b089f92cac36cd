"""Exact search, block by block: whatever the blocks, none of the nearest is lost."""

import numpy as np
import pytest

from fashionsearch import neighbours as exact


def brute_force(vectors, queries, k, metric):
    vectors, queries = vectors.astype(np.float64), queries.astype(np.float64)
    if metric == "cosine":
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        scores = queries / np.linalg.norm(queries, axis=1, keepdims=True) @ unit.T
    else:
        scores = -np.linalg.norm(queries[:, None] - vectors[None], axis=2)
    return np.argsort(-scores, axis=1)[:, :k]


@pytest.mark.parametrize("metric", exact.METRICS)
@pytest.mark.parametrize("order", ["random", "ascending", "descending"])
@pytest.mark.parametrize(("k", "dead"), [(1, 0), (10, 0), (10, 700), (40, 1500)])
@pytest.mark.parametrize("rows_a_block", [64, 10_000])
def test_the_nearest_are_among_the_candidates(metric, order, k, dead, rows_a_block, monkeypatch):
    rng = np.random.default_rng(0)
    vectors, queries = (rng.normal(size=(n, 16)).astype(np.float32) for n in (2000, 30))
    if order != "random":  # then every block holds better ones than all before, or none
        vectors = vectors[np.argsort(vectors @ queries[0])[:: 1 if order == "ascending" else -1]]
    slots = np.sort(rng.choice(2000, 2000 - dead, replace=False))
    monkeypatch.setattr(exact, "_BLOCK_BYTES", 4 * 30 * rows_a_block)
    norms = np.linalg.norm(vectors, axis=1).astype(np.float32)
    found = exact.nearest(vectors, norms, slots, queries, k, metric)
    wanted = slots[brute_force(vectors[slots], queries, k, metric)]
    for candidates, nearest in zip(found.tolist(), wanted.tolist(), strict=True):
        assert len(set(candidates)) == len(candidates)
        assert set(nearest) <= set(candidates) <= set(slots.tolist())

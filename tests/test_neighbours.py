"""Exact search, block by block: whatever the blocks, none of the nearest is lost."""

import tracemalloc

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

import fashionsearch as fs
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


def precise_ranking(vectors, queries, k, metric):
    """Return the k nearest by the differences in float64, of unit vectors for cosine."""
    vectors, queries = (
        rows.astype(np.float64)
        / (np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True) if metric == "cosine" else 1)
        for rows in (vectors, queries)
    )
    return np.argsort(((queries[:, None] - vectors[None]) ** 2).sum(axis=2), axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("metric", exact.METRICS)
@pytest.mark.parametrize("offset", [0, 1, 1e3, 1e5, -1e5])
@pytest.mark.parametrize("scale", [1e-8, 1, 1e8])
def test_the_ranking_is_that_of_float64_at_any_offset_and_scale(metric, offset, scale):
    rng = np.random.default_rng(0)
    vectors, queries = (((rng.normal(size=(n, 24)) + offset) * scale).astype(np.float32) for n in (1200, 10))
    index = fs.VisualIndex(dim=24, metric=metric, engine="exact")
    index.add_vectors(vectors)
    found = index.search_vectors(queries, k=10).ids
    np.testing.assert_array_equal(found.astype(int), precise_ranking(vectors, queries, 10, metric))


@pytest.mark.parametrize("metric", exact.METRICS)
def test_one_long_vector_and_a_coordinate_that_all_share_cost_no_neighbour(metric):
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(1200, 24)).astype(np.float32)
    vectors[:, 0] += 3e4
    vectors[7] *= 1e6
    queries = vectors[100:110] + np.float32(0.01)
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1).astype(np.float32)
    candidates = exact.nearest(vectors, norms, np.arange(1200), queries, 10, metric)
    ranked, _ = exact.sort_by_similarity(candidates, exact.score(vectors, candidates, queries, metric))
    np.testing.assert_array_equal(ranked[:, :10], precise_ranking(vectors, queries, 10, metric))


def test_vectors_of_one_direction_are_equally_near():
    directions = np.random.default_rng(0).normal(size=(50, 8))
    vectors = np.concatenate([directions * length for length in (1, 3.7, 0.1)]).astype(np.float32)
    index = fs.VisualIndex(dim=8, engine="exact")
    index.add_vectors(vectors)
    found = index.search_vectors(directions, k=1)
    np.testing.assert_allclose(found.similarities, 1, atol=1e-6)


def test_many_queries_near_many_equal_vectors_take_little_memory():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(21_000, 8)).astype(np.float32)
    vectors[:20_000] = vectors[0]
    queries = (vectors[:1] + 0.01 * rng.normal(size=(500, 8))).astype(np.float32)
    tracemalloc.start()
    try:
        exact.nearest(vectors, np.linalg.norm(vectors, axis=1), np.arange(21_000), queries, 10, "cosine")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 150 * 2**20


@pytest.mark.parametrize("k", [1, 10, 39])
def test_the_nearest_others_are_those_of_scikit_learn(k):
    rows = np.random.default_rng(0).normal(size=(40, 6))
    search = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(rows)
    np.testing.assert_array_equal(exact.nearest_others(rows, k), search.kneighbors(return_distance=False))


def test_a_row_of_zeros_is_nobodys_neighbour():
    rows = np.random.default_rng(0).normal(size=(60, 6))
    rows[5] = 0
    assert not (np.delete(exact.nearest_others(rows, 10), 5, axis=0) == 5).any()

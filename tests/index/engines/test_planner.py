"""A filtered search looks as deep as it must: the same answers, whichever way a filter goes."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch.index.engines import planner

ITEMS, DIM = 20_000, 128


@pytest.fixture(scope="module")
def index():
    """A graph of items of which a tenth is kept: at random, with the first axis, or against it."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((ITEMS, 8)) @ rng.standard_normal((8, DIM))
    index = fs.VisualIndex(dim=DIM, progress=False)
    along = np.argsort(vectors[:, 0])
    marks = {
        "random": rng.random(ITEMS) < 0.1,
        "with": np.zeros(ITEMS, bool),
        "against": np.zeros(ITEMS, bool),
    }
    marks["with"][along[-ITEMS // 10 :]] = True
    marks["against"][along[: ITEMS // 10]] = True
    index.add_vectors(vectors, metadata={name: mark.tolist() for name, mark in marks.items()})
    index._engine.settle(300)
    assert index.has_graph
    return index, vectors[along[-2000::10]]


@pytest.mark.parametrize("way", ["random", "with", "against"])
@pytest.mark.parametrize("walks", [None, True])
def test_filtered_recall(index, way, walks, monkeypatch):
    index, queries = index
    if walks:
        monkeypatch.setattr(planner, "graph_is_cheaper", lambda *_: True)
    truth = index.search_vectors(queries, k=10, where={way: True}, exact=True).ids
    batch = index.search_vectors(queries, k=10, where={way: True}).ids
    singles = [index.search_vectors(query, k=10, where={way: True}).ids[0] for query in queries]
    assert fs.metrics.recall_at_k(batch, truth) >= 0.99
    assert fs.metrics.recall_at_k(np.array(singles), truth) >= 0.99


def test_only_queries_that_found_too_few_are_compared_with_all(index, monkeypatch):
    index, queries = index
    asked = []

    def compared(store, kept, some, *rest):
        asked.append(len(some))
        return all_of(store, kept, some, *rest)

    all_of = planner._compared
    monkeypatch.setattr(planner, "_compared", compared)
    monkeypatch.setattr(
        planner, "graph_is_cheaper", lambda queries, kept, candidates, pick: candidates <= 500
    )
    mixed = np.concatenate([queries, -queries[:20]])  # these look away from what is kept
    found = index.search_vectors(mixed, k=10, where={"with": True})
    assert sum(asked) < len(queries)
    assert asked
    truth = index.search_vectors(mixed, k=10, where={"with": True}, exact=True)
    assert fs.metrics.recall_at_k(found.ids, truth.ids) >= 0.99
    assert (found.ids[-20:] == truth.ids[-20:]).all()
    np.testing.assert_allclose(found.similarities, truth.similarities, atol=0.01)

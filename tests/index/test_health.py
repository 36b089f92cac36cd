"""An index audits itself: recall against exact search, a goal for it, and embeddings that lie too near each other."""

import dataclasses

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index import health

RNG = np.random.default_rng(0)


CENTRES = np.random.default_rng(7).normal(size=(60, 24))


def clustered(count):
    """Return vectors of one kind, each time others."""
    noise = RNG.normal(size=(count, 24))
    return (CENTRES[RNG.integers(60, size=count)] + 0.5 * noise).astype(np.float32)


@pytest.fixture
def small_graphs(monkeypatch):
    monkeypatch.setattr("fashionsearch.index.engines.local._EXACT_BYTES", 20_000)


def filled(count=3000, **options):
    index = fs.VisualIndex(dim=24, m=6, ef_construction=30, progress=False, **options)
    index.add_vectors(clustered(count))
    index._engine.settle(60)
    return index


def test_recall_is_that_of_queries_between_items(small_graphs):
    index = filled(ef_search=12)
    found = index.health()
    assert found.has_graph
    asked = health.queries(index._engine, 500)
    assert asked.shape == (500, 24)
    truth = index.search_vectors(asked, k=10, exact=True).ids
    ours = index.search_vectors(asked, k=10).ids
    assert found.recall == pytest.approx(fs.metrics.recall_at_k(ours, truth))
    assert found.recall_interval[0] <= found.recall <= found.recall_interval[1]
    assert 0.3 < found.recall < 1
    index.ef_search = 800
    assert index.health().recall > found.recall


@pytest.mark.parametrize("goal", [0.8, 0.95, 0.99])
def test_a_goal_for_recall_is_kept_on_queries_that_are_new(small_graphs, goal):
    index = filled(recall=goal)
    queries = clustered(400)
    found = index.search_vectors(queries, k=10)
    truth = index.search_vectors(queries, k=10, exact=True)
    assert fs.metrics.recall_at_k(found.ids, truth.ids) >= goal - 0.02
    assert index.ef_search >= health.LOWEST_EF
    before = index.ef_search
    index.search_vectors(queries[:1])
    assert index.ef_search == before
    higher = filled(recall=0.999)
    higher.search_vectors(queries[:1])
    assert higher.ef_search >= before


@pytest.mark.parametrize("goal", [0.8, 0.9, 0.95])
def test_a_goal_lowers_ef_search_and_is_kept_on_queries_that_are_new(small_graphs, tmp_path, goal):
    index = filled(ef_search=16)
    index.ef_search = 700
    index.save(tmp_path / "saved")
    with fs.VisualIndex.open(tmp_path / "saved", recall=goal, progress=False) as index:
        index._engine.settle(60)
        queries = clustered(2000)
        index.search_vectors(queries[:1])
        assert health.LOWEST_EF <= index.ef_search < 350
        found = index.search_vectors(queries, k=10)
        truth = index.search_vectors(queries, k=10, exact=True)
        assert fs.metrics.recall_at_k(found.ids, truth.ids) >= goal - 0.01
        if index.ef_search > health.LOWEST_EF:
            index._engine.settings = dataclasses.replace(
                index._engine.settings, ef_search=max(health.LOWEST_EF, int(0.7 * index.ef_search))
            )
            assert health.recalls(index._engine, health.queries(index._engine, 500)).mean() < goal + 0.01


def test_a_lower_one_is_tried_when_all_rows_are_verified_for_it(small_graphs, monkeypatch):
    monkeypatch.setattr(health, "_PATIENCE", -1)
    index = filled(ef_search=200)
    index.recall = 0.5
    used = []
    for _ in range(3000 // 500 + 3):
        index.search_vectors(clustered(1))
        used.append(index.ef_search)
    assert used[:4] == [200] * 4, "until then searches keep to what was measured"
    assert used[-1] == health.LOWEST_EF


def test_the_goal_is_looked_at_again_when_the_index_has_grown(small_graphs):
    index = filled(1500, recall=0.9)
    index.search_vectors(clustered(1))
    assert index._audited == 1500
    index.add_vectors(clustered(100))
    index.search_vectors(clustered(1))
    assert index._audited == 1500
    index.add_vectors(clustered(800))
    index.search_vectors(clustered(1))
    assert index._audited == 2400


def test_a_goal_wins_over_ef_search_and_is_kept_when_saved(small_graphs, tmp_path):
    with pytest.warns(errors.DataWarning, match="recall=0.9 sets ef_search, so ef_search=70 is not heard"):
        index = filled(recall=0.9, ef_search=70)
    index.search_vectors(clustered(1))
    index.save(tmp_path / "saved")
    again = fs.VisualIndex.load(tmp_path / "saved", progress=False)
    assert (again.recall, again.ef_search) == (0.9, index.ef_search)
    again.ef_search = 33
    again.search_vectors(clustered(1))
    assert (again.recall, again.ef_search) == (None, 33)
    with fs.VisualIndex.open(tmp_path / "saved", recall=0.5, progress=False) as opened:
        assert opened.recall == 0.5
    with fs.VisualIndex.open(tmp_path / "saved", ef_search=44, progress=False) as opened:
        assert (opened.recall, opened.ef_search) == (None, 44)


@pytest.mark.parametrize("goal", [0, 1, 1.5, "high", True])
def test_a_goal_that_is_none_is_refused(goal):
    with pytest.raises(errors.InputError, match="is not a number above 0 and below 1"):
        fs.VisualIndex(dim=2, recall=goal)


def test_a_goal_that_is_never_reached_is_told(small_graphs, monkeypatch):
    monkeypatch.setattr(health, "recalls", lambda *_: np.array([0.5]))
    index = filled(1500, recall=0.99)
    with pytest.warns(errors.DataWarning, match=r"recall@10 of 0\.99 isn't reached with ef_search=4096"):
        index.search_vectors(clustered(1))
    index.search_vectors(clustered(1))  # told once


def test_collapsed_and_repeated_embeddings_are_told():
    index = fs.VisualIndex(dim=8, progress=False)
    index.add_vectors(1 + 1e-3 * RNG.normal(size=(50, 8)))
    found = index.health()
    assert found.mean_cosine > 0.999
    assert any("nearly all alike" in problem for problem in found.problems())
    twice = fs.VisualIndex(dim=8, progress=False)
    vectors = RNG.normal(size=(40, 8))
    twice.add_vectors(np.concatenate([vectors, vectors[:10]]))
    twice.remove([49])
    found = twice.health()
    assert found.duplicates == pytest.approx(18 / 49)
    assert found.deleted == pytest.approx(1 / 50)
    assert "added twice" in repr(found)
    assert found.effective_rank > 5
    well = fs.VisualIndex(dim=8, progress=False)
    well.add_vectors(vectors)
    assert well.health().problems() == []
    assert well.health().recall == 1
    assert "<table" in well.health()._repr_html_()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_items_are_no_reason_to_fail(count):
    index = fs.VisualIndex(dim=3, progress=False)
    index.add_vectors(np.eye(3)[:count])
    found = index.health()
    assert found.items == count
    assert f"{count}" in repr(found)


def test_an_opened_index_tells_of_its_disk(tmp_path):
    with fs.VisualIndex.open(tmp_path / "c", dim=3, progress=False) as index:
        index.add_vectors(np.eye(3))
        found = index.health()
        assert found.checkpoint is None
        assert found.disk > 1000
    with fs.VisualIndex.open(tmp_path / "c", progress=False) as index:
        assert index.health().checkpoint is not None
        assert "last checkpoint" in repr(index.health())

"""The graph through faiss: what it finds, forgets and reads back, and what is no graph of ours."""

import os

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index.engines import faiss as ours

CENTRES = np.random.default_rng(0).normal(size=(40, 24))


def clustered(count, seed):
    rng = np.random.default_rng(seed)
    return (CENTRES[rng.integers(40, size=count)] + 0.5 * rng.normal(size=(count, 24))).astype(np.float32)


@pytest.fixture(autouse=True)
def small_graphs(monkeypatch):
    monkeypatch.setattr("fashionsearch.index.engines.local._EXACT_BYTES", 20_000)


def filled(metric="cosine", **options):
    index = fs.VisualIndex(dim=24, engine="faiss", metric=metric, progress=False, **options)
    index.add_vectors(clustered(2000, 1), metadata={"third": [n % 3 for n in range(2000)]})
    index._engine.settle(60)
    assert index.has_graph
    return index


@pytest.fixture
def recall(recall_of):
    return lambda index, **options: recall_of(index, clustered(200, 2), **options)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_it_finds_the_nearest(metric, recall):
    index = filled(metric)
    assert recall(index) > 0.95
    assert recall(index, where={"third": 1}) > 0.95
    assert index.search_vectors(clustered(2000, 1)[:300], k=1).ids[:, 0].tolist() == list(range(300))


def test_what_is_removed_is_not_found_and_what_is_added_is(recall):
    index = filled()
    index.remove(range(300))
    assert index.has_graph
    index.add_vectors(clustered(50, 3), ids=range(5000, 5050))
    assert index.has_graph
    found = index.search_vectors(clustered(2000, 1)[:300], k=10)
    assert not {*range(300)} & set(found.ids.ravel())
    assert recall(index) > 0.95
    assert index.search_vectors(clustered(50, 3), k=1).ids[:, 0].tolist() == list(range(5000, 5050))


def test_equal_vectors_are_all_found():
    index = filled()
    index.add_vectors(np.tile(clustered(1, 4), (30, 1)), ids=range(9000, 9030))
    found = index.search_vectors(clustered(1, 4), k=30)
    assert set(found.ids[0]) == set(range(9000, 9030))


def test_it_is_saved_with_what_was_removed_and_read_back(tmp_path, recall):
    index = filled()
    index.remove(range(10, 200))
    index.save(tmp_path / "saved")
    assert list((tmp_path / "saved").glob("generation-*/graph.faiss"))
    again = fs.VisualIndex.load(tmp_path / "saved", progress=False)
    assert (again.engine, again.has_graph) == ("faiss", True)
    queries = clustered(100, 2)
    np.testing.assert_array_equal(
        again.search_vectors(queries, k=10).ids, index.search_vectors(queries, k=10).ids
    )
    with fs.VisualIndex.open(tmp_path / "saved", progress=False) as opened:
        assert recall(opened) > 0.95


def test_a_file_of_another_kind_is_no_graph(tmp_path):
    import faiss

    index = filled()
    graph = index._engine._state.graph
    labels = graph.labels(list(index._engine._state.store.slot_of.values()))
    path = tmp_path / "graph"
    for other in (
        faiss.IndexFlatIP(24),
        faiss.IndexHNSWFlat(23, 16, faiss.METRIC_INNER_PRODUCT),
        faiss.IndexHNSWFlat(24, 16, faiss.METRIC_L2),
    ):
        faiss.write_index(other, str(path))
        with pytest.raises(RuntimeError, match="another kind"):
            ours.FaissGraph(index._engine.settings).read(path, labels, graph.notes())
    faiss.write_index(faiss.IndexHNSWFlat(24, 16, faiss.METRIC_INNER_PRODUCT), str(path))
    with pytest.raises((errors.CorruptFileError, IndexError)):
        ours.FaissGraph(index._engine.settings).read(path, labels, graph.notes())
    with pytest.raises(errors.StorageError, match="wasn't written whole"):
        graph.write(tmp_path / "missing" / "graph")


def test_without_the_package_search_is_exact(monkeypatch):
    monkeypatch.setattr(ours, "available", lambda: False)
    with pytest.warns(errors.DataWarning, match=r"faiss-cpu can't be imported \(pip install faiss-cpu\)"):
        index = fs.VisualIndex(dim=2, engine="faiss")
    assert index.engine == "exact"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_child_of_a_fork_searches_exactly():
    index = filled()
    expected = index.search_vectors(clustered(20, 2), k=5, exact=True).ids
    child = os.fork()
    if not child:
        try:
            same = (index.search_vectors(clustered(20, 2), k=5).ids == expected).all()
            os._exit(0 if same and not index.has_graph else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert index.has_graph

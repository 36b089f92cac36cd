"""Vectors in less than float32: what they take up, what they cost, and what a file must be."""

import os

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index.engines import codes

DIM = 160
_RNG = np.random.default_rng(0)
CENTRES = _RNG.normal(size=(60, DIM))


def clustered(count, seed):
    rng = np.random.default_rng(seed)
    spread = np.linspace(0.6, 0.02, DIM)
    return (CENTRES[rng.integers(60, size=count)] + spread * rng.normal(size=(count, DIM))).astype(np.float32)


@pytest.fixture(autouse=True)
def small_graphs(monkeypatch):
    monkeypatch.setattr("fashionsearch.index.engines.local._EXACT_BYTES", 20_000)


def filled(storage, metric="cosine", **options):
    index = fs.VisualIndex(dim=DIM, engine="faiss", storage=storage, metric=metric, progress=False, **options)
    index.add_vectors(clustered(3000, 1), metadata={"third": [n % 3 for n in range(3000)]})
    index._engine.settle(60)
    assert index.has_graph
    return index


@pytest.fixture
def recall(recall_of):
    return lambda index, **options: recall_of(index, clustered(200, 2), **options)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(
    ("storage", "share"), [("float16", 0.6), ("int8", 0.4), ("pca128", 0.5), ("auto", 0.6)]
)
def test_small_vectors_find_what_whole_ones_find(storage, share, metric, recall):
    whole = filled("float32", metric)
    index = filled(storage, metric)
    assert recall(index) > 0.98
    assert recall(index, where={"third": 1}) > 0.98
    assert index._engine.facts().memory < share * whole._engine.facts().memory
    index.remove(range(500))
    index.add_vectors(clustered(200, 3), ids=range(5000, 5200))
    assert recall(index) > 0.97
    assert not {*range(500)} & set(index.search_vectors(clustered(3000, 1)[:100], k=5).ids.ravel())
    assert index.search_vectors(clustered(200, 3), k=1).ids[:, 0].tolist() == list(range(5000, 5200))


@pytest.mark.parametrize("storage", ["float16", "int8", "pca128", "auto"])
def test_what_is_saved_is_loaded_and_opened_with_its_graph(storage, tmp_path):
    index = filled(storage)
    queries = clustered(50, 4)
    before = index.search_vectors(queries, k=5).ids.tolist()
    index.save(tmp_path / "saved")
    loaded = fs.VisualIndex.load(tmp_path / "saved")
    assert loaded.storage == storage
    assert loaded.has_graph
    assert loaded.search_vectors(queries, k=5).ids.tolist() == before
    with fs.VisualIndex.open(tmp_path / "saved", progress=False) as opened:
        assert opened.storage == storage
        opened.add_vectors(clustered(3, 5), ids=range(9000, 9003))
    with fs.VisualIndex.open(tmp_path / "saved", read_only=True) as again:
        assert again.search_vectors(clustered(3, 5), k=1).ids[:, 0].tolist() == [9000, 9001, 9002]
    assert not [path for path in (tmp_path / "saved").iterdir() if path.name.startswith("tmp")]


def test_the_vectors_are_in_no_memory_of_their_own():
    index = filled("int8")
    assert isinstance(index._engine._state.store.vectors, np.memmap)
    assert not isinstance(filled("float32")._engine._state.store.vectors, np.memmap)
    np.testing.assert_array_equal(index.get(7).vector, clustered(3000, 1)[7])


def test_a_child_and_its_parent_write_to_vectors_of_their_own():
    index = fs.VisualIndex(dim=DIM, engine="faiss", storage="float16", progress=False)
    index.add_vectors(clustered(10, 1))
    index.add_vectors(clustered(1, 2))  # there is room for more now
    child = os.fork()
    if not child:
        try:
            index.add_vectors(clustered(3, 6), ids=[100, 101, 102])
            right = (index.get(100).vector == clustered(3, 6)[0]).all() and (
                index.get(0).vector == clustered(10, 1)[0]
            ).all()
            os._exit(0 if right else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    index.add_vectors(clustered(1, 7), ids=[50])
    np.testing.assert_array_equal(index.get(50).vector, clustered(1, 7)[0])


def test_the_smallest_way_that_costs_little_is_chosen():
    # Forty numbers in many: components hold them, and whatever is smallest does.
    thin = (_RNG.normal(size=(1500, 40)) @ _RNG.normal(size=(40, 512))).astype(np.float32)
    assert codes.chosen(thin, "cosine") == "pca128"
    # Neighbours that differ in the last digits of a few numbers: neither bytes nor halves tell them apart.
    close = np.ones((2000, 64), dtype=np.float32)
    close[:, :3] += 1e-5 * _RNG.normal(size=(2000, 3)).astype(np.float32)
    close[0] *= 40
    assert codes.chosen(close, "euclidean") == "float32"


@pytest.mark.parametrize("engine", ["hnsw", "exact", "qdrant", "pgvector"])
def test_an_engine_that_holds_whole_vectors_only_names_the_one_that_does_not(engine):
    place = {"url": "http://127.0.0.1:9", "collection": "x"} if engine in ("qdrant", "pgvector") else {}
    with pytest.raises(errors.InputError, match="engine='faiss' has it"):
        fs.VisualIndex(dim=DIM, engine=engine, storage="int8", **place)


def test_what_is_no_way_to_hold_vectors_is_refused():
    with pytest.raises(errors.InputError, match=r"storage=.float8.*float16"):
        fs.VisualIndex(dim=DIM, engine="faiss", storage="float8")
    with pytest.raises(errors.InputError, match="128"):
        fs.VisualIndex(dim=128, engine="faiss", storage="pca128")


def test_a_graph_of_another_kind_is_made_again(tmp_path):
    filled("int8").save(tmp_path / "one")
    whole = filled("float16")
    whole.save(tmp_path / "other")
    graph = whole._engine._state.graph
    path = tmp_path / "graph"
    filled("int8")._engine._state.graph.write(path)
    labels = graph.labels(list(range(3000)))
    with pytest.raises((errors.CorruptFileError, RuntimeError)):
        type(graph)(whole._engine.settings).read(path, labels, graph.notes())
    with pytest.raises(errors.CorruptFileError):
        type(graph)(whole._engine.settings).read(path, labels, {**graph.notes(), "storage": "int8"})

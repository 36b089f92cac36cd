"""The local engine: what is made aside, what a fork leaves, what a copy holds."""

import copy
import multiprocessing
import pickle
import threading
import time
import warnings

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index.engines import hnsw, local, rebuild

DIM = 16
ROWS = np.random.default_rng(0).normal(size=(1600, DIM)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_graphs(monkeypatch):
    monkeypatch.setattr(local, "_EXACT_BYTES", 4 * DIM * 100)
    monkeypatch.setattr(local, "_AT_ONCE", 0)


def filled(count=800):
    index = fs.VisualIndex(dim=DIM, ef_search=100, progress=False)
    index.add_vectors(ROWS[:count], metadata={"n": list(range(count))})
    return index


class Slow:
    """A rebuild that waits in the middle of its work."""

    def __init__(self, monkeypatch):
        self.reached, self.go = threading.Event(), threading.Event()
        work = rebuild.Rebuild.work

        def wait(rebuild_):
            self.reached.set()
            assert self.go.wait(60)
            work(rebuild_)

        monkeypatch.setattr(rebuild.Rebuild, "work", wait)


def test_who_adds_a_catalogue_finds_its_graph_ready():
    index = filled()
    assert index.has_graph
    assert (index.search_vectors(ROWS[:800], k=1).ids[:, 0] == np.arange(800)).all()


def test_searches_and_changes_go_on_while_it_is_rebuilt(monkeypatch):
    index = filled()
    slow = Slow(monkeypatch)
    index.remove(list(range(200)))
    assert slow.reached.wait(60)
    assert index.has_graph, "the old graph serves until the new one is there"
    index.add_vectors(ROWS[800:1200], metadata={"n": list(range(800, 1200))})
    index.remove([300, 900])
    index.update(301, {"n": -1})
    index.add_vectors(ROWS[1200:1201], ids=[302])
    expected = [number for number in range(200, 1200) if number not in (300, 302, 900)]

    def is_right():
        found = index.search_vectors(ROWS[expected], k=1, where={"n": {"gte": -1}})
        assert found.ids[:, 0].tolist() == expected
        assert index.search_vectors(ROWS[1200], k=1).ids[0, 0] == 302
        assert index.get(301).metadata == {"n": -1}
        assert list(index) == sorted([*expected, 302])
        assert 900 not in index.search_vectors(ROWS[900], k=5).ids

    is_right()
    assert index._engine._state.store.size == 1201
    slow.go.set()
    index._engine.settle(60)
    assert index.has_graph
    assert index._engine._state.store.size < 1201, "dead slots are left out"
    is_right()


@pytest.mark.parametrize("at_once", [0, 2000])
def test_a_graph_that_can_not_be_made_is_told_and_costs_nothing_else(at_once, monkeypatch):
    monkeypatch.setattr(local, "_AT_ONCE", at_once)
    add = hnsw.HnswGraph.add

    def full(*_):
        raise MemoryError("no room for the graph")

    monkeypatch.setattr(hnsw.HnswGraph, "add", full)
    with pytest.warns(errors.DataWarning, match="could not be rebuilt for speed.*no room for the graph"):
        index = filled()
    assert not index.has_graph
    assert index.search_vectors(ROWS[:3], k=1).ids[:, 0].tolist() == [0, 1, 2]
    monkeypatch.setattr(hnsw.HnswGraph, "add", add)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.DataWarning)  # of another attempt in between
        index.add_vectors(ROWS[800:], metadata={"n": list(range(800, 1600))})
    assert index.has_graph


def test_at_the_end_of_a_process_nobody_waits_for_a_graph(monkeypatch):
    monkeypatch.setattr(rebuild, "_closing", threading.Event())
    rebuild._closing.set()
    began = time.monotonic()
    index = filled()
    assert time.monotonic() - began < 10
    assert not index.has_graph
    assert index.search_vectors(ROWS[:1], k=1).ids[0, 0] == 0


def test_searches_are_exact_until_a_first_graph_is_there(monkeypatch, tmp_path):
    filled().save(tmp_path)
    slow = Slow(monkeypatch)
    monkeypatch.setattr("fashionsearch.index.visual_index.PATIENCE", 0.1)
    index = fs.VisualIndex.load(tmp_path, rebuild=True, progress=False)
    assert not index.has_graph
    assert (index.search_vectors(ROWS[:800], k=1).ids[:, 0] == np.arange(800)).all()
    slow.go.set()
    index._engine.settle(60)
    assert index.has_graph


def test_a_rebuild_never_reads_the_graphs_file(monkeypatch, tmp_path):
    filled().save(tmp_path)
    with monkeypatch.context() as context:
        context.setattr(
            "fashionsearch.index.engines.hnsw.HnswGraph.read", lambda *_: pytest.fail("the file was read")
        )
        index = fs.VisualIndex.load(tmp_path, rebuild=True, progress=False)
    assert index.has_graph
    assert (index.search_vectors(ROWS[:800], k=1).ids[:, 0] == np.arange(800)).all()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda index: pickle.loads(pickle.dumps(index))])  # noqa: S301
def test_a_copy_is_an_index_of_its_own(copied):
    index = filled()
    index.remove([5])
    other = copied(index)
    assert other.has_graph
    index.remove([6])
    other.add_vectors(ROWS[900:901])
    assert (len(index), len(other)) == (798, 800)
    assert list(other)[-1] == 800
    assert other.search_vectors(ROWS[6], k=1).ids[0, 0] == 6
    assert other.get(6).metadata == {"n": 6}


def in_the_child(index):
    found = index.search_vectors(ROWS[10:60], k=1).ids[:, 0]
    assert found.tolist() == list(range(10, 60))
    index.add_vectors(ROWS[1400:1410])
    index.remove(10)
    index._engine.settle(60)
    assert index.has_graph
    assert index.search_vectors(ROWS[11], k=1).ids[0, 0] == 11


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="forks are POSIX")
@pytest.mark.parametrize("busy", ["search", "add", "rebuild"])
def test_a_fork_never_hangs(busy):
    index = filled()
    stop = threading.Event()

    def work():
        step = 0
        while not stop.is_set():
            step += 1
            if busy == "search":
                index.search_vectors(ROWS, k=10)
            elif busy == "add":
                index.add_vectors(ROWS[:50] + 10 + step, ids=list(range(5000, 5050)))
            else:
                index.add_vectors(ROWS[:400] + 10 + step, ids=list(range(5000, 5400)))
                index.remove(list(range(5000, 5400)))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for seed in range(5):
            time.sleep(np.random.default_rng(seed).uniform(0, 0.05))
            child = multiprocessing.get_context("fork").Process(target=in_the_child, args=(index,))
            child.start()
            child.join(60)
            ended = child.exitcode
            child.kill()
            assert ended == 0
    finally:
        stop.set()
        thread.join()
    in_the_child(index)


def test_every_row_finds_itself_when_ef_is_lowered_after_building():
    index = filled(1500)
    index._engine.settle(60)
    assert index.has_graph
    for ef in (100, 20, 3):
        index.ef_search = ef
        for _ in range(5):  # while rows are verified, some at each search, and afterwards
            found = index.search_vectors(ROWS[:1500], k=1)
            assert found.ids[:, 0].tolist() == list(range(1500))
        assert index._engine._state.graph.notes()["hidden_ef"] == ef


def test_of_a_large_graph_more_hidden_rows_are_compared_at_a_higher_ef(monkeypatch):
    index = filled(1500)
    index._engine.settle(60)
    graph, vectors = index._engine._state.graph, index._engine._state.store.prepared
    graph._hidden = dict.fromkeys(range(300), hnsw._NEVER) | dict.fromkeys(range(300, 400), 40)
    assert [len(graph._hidden_from(vectors, ef)[1]) for ef in (10, 39, 40, 500)] == [400, 400, 300, 300]
    monkeypatch.setattr(hnsw, "_LARGE", 1000)
    monkeypatch.setattr(hnsw, "_MOST_HIDDEN", 5)
    for ef, count, holds in (
        (10, 40, (8, 16)),
        (39, 160, (32, 40)),
        (40, 160, (40, 64)),
        (500, 300, (256, 512)),
    ):
        found, hidden = graph._hidden_from(vectors, ef)
        assert (len(hidden), (found.start, found.stop)) == (count, holds)


def test_rows_that_come_and_go_while_ef_is_lowered_find_themselves_too():
    index = filled(1500)
    index._engine.settle(60)
    index.ef_search = 3
    index.search_vectors(ROWS[:1], k=1)
    index.remove(list(range(100)))
    index.add_vectors(ROWS[1500:1600], ids=list(range(1500, 1600)), metadata={"n": [0] * 100})
    assert index.has_graph
    for _ in range(4):
        found = index.search_vectors(ROWS[100:1600], k=1)
        assert found.ids[:, 0].tolist() == list(range(100, 1600))
    assert index._engine._state.graph.notes()["hidden_ef"] == 3


def test_an_interruption_while_rows_are_verified_is_made_good_by_the_next_search(monkeypatch):
    index = filled(1500)
    index._engine.settle(60)
    assert index.has_graph
    verify = hnsw.HnswGraph._verify

    def interrupted(*_):
        raise KeyboardInterrupt

    index.ef_search = 3
    monkeypatch.setattr(hnsw.HnswGraph, "_verify", interrupted)
    with pytest.raises(KeyboardInterrupt):
        index.search_vectors(ROWS[:1], k=1)
    monkeypatch.setattr(hnsw.HnswGraph, "_verify", verify)
    assert index.search_vectors(ROWS[:1500], k=1).ids[:, 0].tolist() == list(range(1500))

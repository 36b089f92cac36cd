"""What opens a large index in a moment: mapped vectors, a graph that is read aside, and damage that is found late."""

import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index.engines import blocks, loading, mapped

DIM, COUNT = 16, 3000
VECTORS = np.random.default_rng(0).normal(size=(COUNT, DIM)).astype(np.float32)


@pytest.fixture(autouse=True)
def large(monkeypatch):
    monkeypatch.setattr("fashionsearch.index.engines.local._EXACT_BYTES", 20_000)
    monkeypatch.setattr(mapped, "_ASIDE", 0)
    monkeypatch.setattr(blocks, "ROWS", 256)


@pytest.fixture(params=["hnsw", "faiss"])
def folder(request, tmp_path):
    with fs.VisualIndex.open(tmp_path / "catalogue", dim=DIM, engine=request.param, progress=False) as index:
        index.add_vectors(VECTORS, metadata=[{"n": n} for n in range(COUNT)])
        index._engine.settle(60)
        assert index.has_graph
    return tmp_path / "catalogue"


@pytest.fixture
def held_back(monkeypatch):
    """Let graphs be read only once the event is set."""
    event, read = threading.Event(), loading.Loading._read_now

    def wait(self):
        while not event.wait(0.01):
            if self._stop:
                return
        read(self)

    monkeypatch.setattr(loading.Loading, "_read_now", wait)
    yield event
    event.set()  # whoever waits for all such threads is not to wait for these


def opened(folder, **options):
    return fs.VisualIndex.open(folder, progress=False, **options)


def checkpoint_file(folder, name):
    (path,) = (folder / "checkpoint").rglob(name)
    return path


def damage(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x40
    path.write_bytes(content)


def test_searches_are_exact_until_the_graph_is_read(folder, held_back):
    with opened(folder) as index:
        assert not index.has_graph
        before = index.search_vectors(VECTORS[:20], k=5).ids
        held_back.set()
        index._engine.settle(60)
        assert index.has_graph
        assert fs.metrics.recall_at_k(index.search_vectors(VECTORS[:20], k=5).ids, before) > 0.95


def test_a_graph_is_read_once_a_search_under_way_has_answered(folder, monkeypatch):
    native, held = threading.Event(), threading.Event()
    verify = loading.Store.verify
    monkeypatch.setattr(loading.Store, "verify", lambda self, *slots: (held.wait(60), verify(self, *slots)))
    for name in ("hnsw.HnswGraph", "faiss.FaissGraph"):
        module, kind = name.split(".")
        graph = getattr(__import__(f"fashionsearch.index.engines.{module}", fromlist=[kind]), kind)
        read = graph.read
        monkeypatch.setattr(
            graph, "read", lambda *args, read=read, **more: (native.set(), read(*args, **more))
        )
    monkeypatch.setattr(loading, "_PATIENCE", 60)
    with opened(folder) as index:
        with index._engine._lock:  # which a search holds
            held.set()
            assert not native.wait(0.3)
        assert native.wait(60)
        index._engine.settle(60)
        assert index.has_graph


def test_a_graph_that_nobody_waits_for_is_not_read(folder, monkeypatch):
    held, read = threading.Event(), []
    verify = loading.Store.verify
    monkeypatch.setattr(loading.Store, "verify", lambda self, *slots: (held.wait(60), verify(self, *slots)))
    monkeypatch.setattr(loading.Verified, "check", lambda self: read.append(self))
    index = opened(folder)
    rebuild = index._engine._rebuild
    rebuild._stop = True
    held.set()
    rebuild.stop()
    assert (read, rebuild.finished, rebuild.failure) == ([], False, None)
    index.close()


def test_a_graph_that_is_changed_once_it_was_verified_is_made_again(folder, monkeypatch):
    held, verify = threading.Event(), loading.Store.verify
    monkeypatch.setattr(loading.Store, "verify", lambda self, *slots: (held.wait(60), verify(self, *slots)))
    with opened(folder) as index:
        index._engine._rebuild._file.wait()
        damage(checkpoint_file(folder, "graph.[hf]*"), 100)
        held.set()
        with pytest.warns(errors.DataWarning, match="was changed while it was read"):
            index._engine.settle(60)
        assert index.search_vectors(VECTORS[:5], k=1).ids[:, 0].tolist() == list(range(5))


def test_work_aside_raises_where_its_result_is_asked_for(monkeypatch):
    def fails():
        raise errors.CorruptFileError("damaged")

    for started in (True, False):
        if not started:
            monkeypatch.setattr(
                threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("no more"))
            )
        assert loading.Aside(lambda: 7).result() == 7
        work = loading.Aside(fails)
        work.wait()
        with pytest.raises(errors.CorruptFileError, match="damaged"):
            work.result()


def test_only_what_is_needed_is_verified(folder, held_back):
    with opened(folder) as index:
        store = index._engine._state.store
        assert index.search_vectors(VECTORS[:1], k=2, where={"n": {"lt": 10}}).ids[0, 0] == 0
        assert store._blocks._verified.tolist() == [True] + [False] * 11
        assert not store.touched(np.array([0])).flags.writeable
        held_back.set()
        index._engine.settle(60)
        assert store._blocks.is_verified


def test_what_changes_while_the_graph_is_read_is_in_it(folder, held_back):
    fresh = np.random.default_rng(1).normal(size=(300, DIM)).astype(np.float32)
    with opened(folder) as index:
        index.add_vectors(fresh, ids=range(9000, 9300))
        index.remove([0, 1, 2, 9001])
        index.add_vectors(fresh[:1] + 1, ids=[5])
        held_back.set()
        index._engine.settle(60)
        assert index.has_graph
        assert index.search_vectors(fresh[2:], k=1).ids[:, 0].tolist() == list(range(9002, 9300))
        assert not {0, 1, 2, 9001} & set(index.search_vectors(VECTORS[:50], k=10).ids.ravel())
        assert index.search_vectors(fresh[:1] + 1, k=1).ids.tolist() == [[5]]
    with opened(folder) as again:
        again._engine.settle(60)
        assert len(again) == COUNT + 300 - 4
        assert again.search_vectors(fresh[2:], k=1).ids[:, 0].tolist() == list(range(9002, 9300))


@pytest.mark.parametrize("call", ["search", "get", "add", "remove", "save", "health", "graph"])
def test_vectors_that_are_damaged_are_read_from_the_journal(folder, held_back, tmp_path, call):
    damage(checkpoint_file(folder, "vectors.f32"), 4 * DIM * 1000 + 3)
    index = opened(folder)
    acts = {
        "search": lambda: index.search_vectors(VECTORS[:3], k=1),
        "get": lambda: index.get(1000),
        "add": lambda: index.add_vectors(VECTORS[:1] + 1, ids=[5000]),
        "remove": lambda: index.remove([1000]),
        "save": lambda: index._engine.writers(),
        "health": index.health,
        "graph": lambda: (held_back.set(), index._engine.settle(60)),
    }
    assert index.search_vectors(VECTORS[:1], k=1, where={"n": {"lt": 10}}).ids[0, 0] == 0
    with pytest.warns(errors.DataWarning, match="the checkpoint is left unread"):
        acts[call]()
    held_back.set()
    found = index.search_vectors(VECTORS[990:1010], k=1)
    expected = [n for n in range(990, 1010) if not (call == "remove" and n == 1000)]
    assert [row for row in found.ids[:, 0].tolist() if row in range(990, 1010)] == expected
    index.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with opened(folder) as again:  # what was damaged has been written anew
            assert len(again) == len(index)
            np.testing.assert_array_equal(again.get(999).vector, VECTORS[999])


def test_a_reader_finds_damage_when_it_follows(folder, held_back):
    damage(checkpoint_file(folder, "vectors.f32"), 4 * DIM * 1000 + 3)
    reader = opened(folder, read_only=True)
    assert len(reader) == COUNT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        writer = opened(folder)
        writer.add_vectors(VECTORS[:1] + 1, ids=[5000])
    with pytest.warns(errors.DataWarning, match="the checkpoint is left unread"):
        reader.refresh()
    held_back.set()
    assert 5000 in reader
    np.testing.assert_array_equal(reader.get(1000).vector, VECTORS[1000])
    reader.close()
    writer.close()


@pytest.mark.parametrize("act", ["truncate", "remove", "pipe"])
def test_a_file_that_is_another_is_found_at_once(folder, held_back, act):
    path = checkpoint_file(folder, "vectors.f32")
    if act == "truncate":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    if act == "pipe":
        os.mkfifo(path)
    with pytest.warns(errors.DataWarning, match="the checkpoint is left unread"):
        index = opened(folder)
    held_back.set()
    assert index.search_vectors(VECTORS[:5], k=1).ids[:, 0].tolist() == list(range(5))
    index.close()


def test_a_damaged_graph_is_made_again(folder, held_back):
    (path,) = (path for path in (folder / "checkpoint").rglob("graph.*") if path.suffix != ".safetensors")
    damage(path, 100)

    def read():
        index = opened(folder)
        held_back.set()
        index._engine.settle(60)
        return index

    with pytest.warns(errors.DataWarning, match="SHA-256 differs"):
        index = read()
    index.search_vectors(VECTORS[:1])
    index._engine.settle(60)
    assert index.has_graph
    index.close()


def test_an_empty_index_is_opened_again(tmp_path):
    opened(tmp_path / "empty", dim=3).close()
    with opened(tmp_path / "empty") as index:
        index.add_vectors(np.eye(3), ids=["a", "b", "c"])
        index.remove(["a", "b", "c"])
    with opened(tmp_path / "empty") as index:
        assert len(index) == 0
        assert index.search_vectors(np.eye(3)).ids.shape == (3, 0)


def test_nothing_is_added_to_what_is_mapped(folder, held_back):
    with opened(folder) as index:
        assert index.add_vectors(np.zeros((0, DIM))).ids == ()
        index._engine.upsert(index._engine.fetch([]))
        assert len(index) == COUNT


def test_a_checkpoint_waits_for_the_graph_that_is_being_read(folder, held_back):
    threading.Timer(0.3, held_back.set).start()
    with opened(folder) as index:
        index.update(3, {"n": "other"})
    assert [path for path in (folder / "checkpoint").rglob("graph.*") if path.suffix in (".hnsw", ".faiss")]
    with opened(folder) as again:
        again._engine.settle(60)
        assert again.has_graph
        assert again.get(3).metadata == {"n": "other"}


def test_damage_beside_changes_that_no_checkpoint_has_is_found(folder, held_back):
    index = opened(folder)
    index.add_vectors(VECTORS[:1] + 1, ids=[7000])
    index._engine._unsaved = 0  # as after a crash
    index.close()
    damage(checkpoint_file(folder, "vectors.f32"), 4 * DIM * 1000 + 3)
    with pytest.warns(errors.DataWarning, match="the checkpoint is left unread"):
        again = opened(folder)
    held_back.set()
    assert len(again) == COUNT + 1
    np.testing.assert_array_equal(again.get(1000).vector, VECTORS[1000])
    again.close()


def test_a_reader_notices_a_damaged_graph_by_searching_alone(folder, held_back):
    (path,) = (path for path in (folder / "checkpoint").rglob("graph.*") if path.suffix != ".safetensors")
    damage(path, 100)
    reader = opened(folder, read_only=True)
    held_back.set()
    reader._engine._rebuild.wait(60, progress=False)
    with pytest.warns(errors.DataWarning, match="SHA-256 differs"):
        reader.search_vectors(VECTORS[:1])
    reader._engine.settle(60)
    assert reader.has_graph
    reader.close()


def test_threads_that_meet_the_same_damage_read_the_journal_once(folder, held_back):
    damage(checkpoint_file(folder, "vectors.f32"), 4 * DIM * 1000 + 3)
    index = opened(folder)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=index.search_vectors, args=(VECTORS[:2],)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    held_back.set()
    assert len([each for each in told if "left unread" in str(each.message)]) == 1
    index.close()


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="there is no fork here")
def test_a_child_has_the_graph_that_its_parent_was_reading(folder, held_back):
    index = opened(folder)
    threading.Timer(0.2, held_back.set).start()
    child = os.fork()
    if not child:
        os._exit(0 if index._engine._rebuild is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert index.has_graph
    index.close()


def test_a_graph_that_was_made_after_the_last_checkpoint_is_saved_too(tmp_path, monkeypatch):
    monkeypatch.setattr("fashionsearch.index.engines.durable._FEWEST", 100)
    with opened(tmp_path / "catalogue", dim=DIM) as index:
        index.add_vectors(VECTORS)  # of which a checkpoint is written before the graph is there
    with opened(tmp_path / "catalogue", read_only=True) as again:
        again._engine.finish_loading()
        assert again._engine._rebuild is None
        assert again.has_graph


_CUT = """
import os, sys, warnings
from pathlib import Path
import numpy as np
import fashionsearch as fs
from fashionsearch.index.engines import local, mapped

local._EXACT_BYTES = int(sys.argv[3])
warnings.simplefilter("ignore")
V = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)
index = fs.VisualIndex.open(sys.argv[1], progress=False)
index._engine.settle(60)
if sys.argv[2] == "after":
    index.search_vectors(V[:2], k=1, exact=True)
(path,) = Path(sys.argv[1], "checkpoint").rglob("vectors.f32")
os.truncate(path, 4096)
assert index.search_vectors(V[2990:], k=1, exact=True).ids[:, 0].tolist() == list(range(2990, 3000))
assert index.search_vectors(V[2990:], k=1).ids[:, 0].tolist() == list(range(2990, 3000))
assert (index.get(2999).vector == V[2999]).all()
index.add_vectors(V[:1] + 1, ids=[9000])
index.close()
with fs.VisualIndex.open(sys.argv[1], progress=False) as again:
    assert len(again) == 3001
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows cuts off no file that is mapped")
@pytest.mark.parametrize("exact_bytes", [20_000, 2**30])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_file_that_another_process_cuts_off_ends_no_process(folder, moment, exact_bytes):
    done = subprocess.run(
        [sys.executable, "-c", _CUT, str(folder), moment, str(exact_bytes)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])

"""An interruption at any moment of any change leaves an index as it was before, or as it is after."""

import itertools
import sys
import threading
import warnings

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index.engines import local, rebuild

# Memory that runs out while a graph is made costs the graph, which the next change makes again, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:the index could not be rebuilt for speed")

DIM = 4
ROWS = np.random.default_rng(0).normal(size=(100, DIM)).astype(np.float32)
QUERIES = np.random.default_rng(1).normal(size=(5, DIM)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_graphs(monkeypatch):
    """Let the graph take over at 30 rows, and grow bit by bit."""
    monkeypatch.setattr(local, "_EXACT_BYTES", 4 * DIM * 30)
    monkeypatch.setattr(local, "_CHUNK", 4)
    monkeypatch.setattr(local, "_PAUSE", 0)
    monkeypatch.setattr(rebuild, "_CHUNK", 16)


class Halves:
    """An encoder of the user's own: an image's four quarters."""

    dim = DIM

    def embed(self, images):
        return np.stack([np.asarray(image, np.float32).reshape(DIM, -1).mean(axis=1) + 1 for image in images])


def filled(count):
    index = fs.VisualIndex(Halves(), ef_search=100, progress=False)
    vectors = ROWS[:count].copy()
    vectors[3] = vectors[4]  # twins
    index.add_vectors(vectors, metadata={"n": list(range(count)), "odd": [n % 2 == 1 for n in range(count)]})
    return index


def answers(index):
    """Return all that can be seen of an index."""
    items = [index.get(item) for item in index]
    found = [index.search_vectors(QUERIES, k=4, exact=exact) for exact in (True, False)]
    found += [index.search_vectors(QUERIES, k=3, where={"odd": True})]
    return {
        "rows": [(item.id, item.vector.tolist(), dict(item.metadata), item.source) for item in items],
        "len": len(index),
        "next": index._engine.next_id,
        "kind": index._engine.id_kind,
        "found": [(matches.ids.tolist(), matches.metadata.tolist()) for matches in found],
    }


PHOTOS = np.random.default_rng(2).integers(0, 255, (6, 8, 8, 3), dtype=np.uint8)
CHANGES = {
    "add_vectors, building a graph": (25, lambda index, _: index.add_vectors(ROWS[50:60])),
    "add_vectors into a graph": (
        40,
        lambda index, _: index.add_vectors(
            ROWS[60:70], ids=[*range(35, 40), *range(90, 95)], metadata={"n": [7] * 10, "new": ["x"] * 10}
        ),
    ),
    "add_vectors, compacting": (
        40,
        lambda index, _: index.add_vectors(ROWS[60:75], ids=list(range(5, 20)), metadata={"n": [7] * 15}),
    ),
    "add": (40, lambda index, _: index.add(list(PHOTOS), metadata={"n": [1] * 6})),
    "remove": (40, lambda index, _: index.remove([3, 8, 20])),
    "remove, compacting": (45, lambda index, _: index.remove(list(range(12)))),
    "remove, without a graph after": (33, lambda index, _: index.remove(list(range(10)))),
    "update": (40, lambda index, _: index.update(4, {"n": -1, "odd": None, "new": "x"})),
    "save": (40, lambda index, folder: index.save(folder / "saved")),
}


def traced(action, stop_at, error=KeyboardInterrupt):
    """Run an action and raise in its `stop_at`th line of the library; return the file's name, or None if it has fewer."""
    lines, where = itertools.count(1), None

    def trace(frame, event, _):
        nonlocal where
        if "fashionsearch" not in frame.f_code.co_filename:
            return None
        if event == "line" and where is None and next(lines) == stop_at:
            where = frame.f_code.co_filename
            raise error
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    except error:
        pass
    finally:
        sys.settrace(previous)
    return where


def check(index, before, after):
    """Compare an interrupted index with both, and go on with it."""
    now = answers(index)
    assert now in (before, after)
    added = index.add_vectors(ROWS[80:83], metadata={"n": [80, 81, 82]}).ids
    assert added == tuple(range(now["next"], now["next"] + 3))
    index.remove(added[0])
    index.update(added[1], {"odd": True})
    assert index.search_vectors(ROWS[81:83], k=1).ids[:, 0].tolist() == list(added[1:])
    assert index.get(added[1]).metadata == {"n": 81, "odd": True}
    assert [item[0] for item in answers(index)["rows"]] == [item[0] for item in now["rows"]] + list(added[1:])
    if len(index) > 40:
        assert index.has_graph


def rebuild_threads():
    return [thread for thread in threading.enumerate() if thread.name == "fashionsearch-rebuild"]


def lines_to_stop_at(step):
    """Yield the numbers of lines, every one or a sample."""
    rng = np.random.default_rng(0)
    number = 0
    while True:
        number += int(rng.integers(1, 2 * step)) if step > 1 else 1
        yield number


# Python itself closes a file that an interruption left open, and says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 30])
def test_a_change_happens_wholly_or_not_at_all(name, error, step, tmp_path):
    count, change = CHANGES[name]
    before = answers(filled(count))
    changed = filled(count)
    change(changed, tmp_path)
    after = answers(changed)
    files = set()
    for number in lines_to_stop_at(step):
        assert number < 20_000  # what an interruption leaves behind must not make the next call longer
        index, folder = filled(count), tmp_path / str(number)
        if (
            name == "save"
        ):  # over one before; each time a new one, or what was left of the last would make it longer
            filled(count).save(folder / "saved")
        where = traced(lambda index=index, folder=folder: change(index, folder), number, error)
        if where is None:
            break
        files.add(where.rsplit("/", 1)[-1])
        check(index, before, after)
        if name == "save":
            assert answers(fs.VisualIndex.load(folder / "saved", encoder=Halves())) == before
    if step == 1 and name not in ("update", "remove, without a graph after"):
        assert "hnsw.py" in files


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 30])
def test_an_interrupted_load_leaves_the_folder_as_it_was(step, tmp_path):
    index = filled(40)
    index.save(tmp_path)
    before = answers(index)
    for number in lines_to_stop_at(step):
        if traced(lambda: fs.VisualIndex.load(tmp_path, encoder=Halves()), number) is None:
            break
        assert answers(fs.VisualIndex.load(tmp_path, encoder=Halves())) == before


# The thread's own first and last line have no handler around them.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 30])
def test_memory_that_runs_out_aside_changes_no_answer(step, monkeypatch):
    monkeypatch.setattr(local, "_AT_ONCE", 0)
    index = filled(45)
    index.remove(list(range(12)))
    index._engine.settle(30)
    truth = answers(index)
    files = set()
    for number in lines_to_stop_at(step):
        index = filled(45)
        index._engine.settle(30)
        lines, where = itertools.count(1), None

        def trace(frame, event, _, number=number, lines=lines):
            nonlocal where
            if "fashionsearch" not in frame.f_code.co_filename:
                return None
            if event == "line" and where is None and next(lines) == number:
                where = frame.f_code.co_filename
                raise MemoryError
            return trace

        threading.settrace(trace)
        try:
            index.remove(list(range(12)))
            for thread in rebuild_threads():
                thread.join()
        finally:
            threading.settrace(None)
        if where is None:
            break
        files.add(where.rsplit("/", 1)[-1])
        assert answers(index) == truth
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            index.update(20, {"n": 20})
        assert not caught or (
            caught[0].category is errors.DataWarning
            and ("MemoryError" in str(caught[0].message) or "its thread ended" in str(caught[0].message))
        )
        index.remove(44)
        index._engine.settle(30)
        assert len(index) == 32
        assert index.has_graph
        assert index._engine._state.store.size < 45, "it is tried again, and leaves dead slots out"
    assert "hnsw.py" in files

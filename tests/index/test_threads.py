"""Eight threads add, replace, remove and search at once, interrupted anywhere: nothing is lost, and no answer wrong."""

import ctypes
import itertools
import threading
import time
import traceback

import numpy as np
import pytest

import fashionsearch as fs

DIM, THREADS = 6, 8
SEEDS = itertools.count()


def vector_of(seed):
    return np.random.default_rng(seed).normal(size=DIM).astype(np.float32)


class Worker(threading.Thread):
    """Changes items of its own, and knows what they are; what an interruption left open it looks up."""

    def __init__(self, index, number, stop):
        super().__init__(daemon=True)
        self.index, self.number, self.stop = index, number, stop
        self.rng = np.random.default_rng(number)
        self.held: dict[str, int] = {}
        self.open_ids: tuple[list[str], list[int] | None] | None = (
            None  # what is being done: ids, and their seeds to be
        )
        self.done = self.interrupted = 0
        self.failure = None

    def run(self):
        while True:
            try:
                self.resolve()
                if self.stop.is_set():
                    return
                self.act()
                self.done += 1
            except KeyboardInterrupt:
                self.interrupted += 1
            except BaseException as error:
                self.failure = error
                self.told = traceback.format_exc(), self.open_ids
                return

    def act(self):
        kind = self.rng.integers(4)
        ids = [f"{self.number}-{n}" for n in self.rng.choice(60, int(self.rng.integers(1, 6)), replace=False)]
        if kind == 0 and self.held:
            ids = [item for item in ids if item in self.held]
            if ids:
                self.open_ids = ids, None
                self.index.remove(ids)
        elif kind == 1:
            seeds = [next(SEEDS) for _ in ids]
            self.open_ids = ids, seeds
            self.index.add_vectors(
                [vector_of(seed) for seed in seeds], ids=ids, metadata=[{"by": self.number}] * len(ids)
            )
        elif self.held:
            item = str(self.rng.choice(sorted(self.held)))
            found = self.index.search_vectors(vector_of(self.held[item]), k=3, where={"by": self.number})
            assert found.ids[0, 0] == item, (item, found)
            assert all(str(other).startswith(f"{self.number}-") for other in found.ids[0, : found.counts[0]])

    def resolve(self):
        """Find out whether what was under way has happened: wholly or not at all."""
        if self.open_ids is None:
            return
        ids, seeds = self.open_ids
        self.index.refresh()  # a change that was interrupted is caught up with once nobody else changes
        now = {item: self.index.get(item).vector for item in ids if item in self.index}
        if seeds is None:
            happened = not now
            assert happened or set(now) == set(ids)
        else:
            new = {item: vector_of(seed) for item, seed in zip(ids, seeds, strict=True)}
            happened = set(now) == set(ids) and all((now[item] == new[item]).all() for item in ids)
            if not happened:
                before = {item: vector_of(self.held[item]) for item in ids if item in self.held}
                assert set(now) == set(before)
                assert all((now[item] == before[item]).all() for item in before)
        held = dict(self.held)
        if happened and seeds is None:
            for item in ids:
                held.pop(item, None)
        elif happened:
            held |= dict(zip(ids, seeds, strict=True))
        # One assignment each, so that an interruption between them resolves the same once more.
        self.held = held
        self.open_ids = None


def changed(held, there):
    """Return how many items have another vector than they should."""
    return sum(bool((there[item] != vector_of(seed)).any()) for item, seed in held.items() if item in there)


def shake(index, seconds):
    stop = threading.Event()
    workers = [Worker(index, number, stop) for number in range(THREADS)]
    for worker in workers:
        worker.start()
    rng, until = np.random.default_rng(0), time.monotonic() + seconds
    while time.monotonic() < until and all(worker.failure is None for worker in workers):
        time.sleep(0.02)
        hit = workers[int(rng.integers(THREADS))]
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(hit.ident), ctypes.py_object(KeyboardInterrupt)
        )
    stop.set()
    for worker in workers:
        worker.join(60)
    held = {item: seed for worker in workers for item, seed in worker.held.items()}
    there = {item: index.get(item).vector for item in index}
    counts = {
        "cases": sum(worker.done for worker in workers),
        "interrupted": sum(worker.interrupted for worker in workers),
        "lost": len(held.keys() - there.keys()),
        "returned": len(there.keys() - held.keys()),
        "wrong answers": changed(held, there)
        + sum(isinstance(worker.failure, AssertionError) for worker in workers),
        "outside the tree": sum(
            worker.failure is not None and not isinstance(worker.failure, AssertionError)
            for worker in workers
        ),
        "crashes or hangs": sum(worker.is_alive() for worker in workers),
    }
    return held, counts, [worker.told for worker in workers if worker.failure is not None]


def check(counts, told):
    assert told == []
    assert counts["cases"] > 100
    assert counts["interrupted"] > 5
    assert not any(count for name, count in counts.items() if name not in ("cases", "interrupted")), counts


@pytest.mark.filterwarnings("ignore::fashionsearch.errors.DataWarning")
@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("opened", [False, True])
def test_threads_that_are_interrupted_anywhere_lose_nothing(tmp_path, seconds, opened, monkeypatch, tally):
    monkeypatch.setattr("fashionsearch.index.engines.local._EXACT_BYTES", 2000)  # a graph from 80 items on
    if not opened:
        index = fs.VisualIndex(dim=DIM, progress=False)
        held, counts, told = shake(index, seconds)
        tally("threads are interrupted, in memory", seconds=seconds, **counts)
        check(counts, told)
        return
    with fs.VisualIndex.open(tmp_path / "index", dim=DIM, progress=False) as index:
        held, counts, told = shake(index, seconds)
    with fs.VisualIndex.open(tmp_path / "index", read_only=True, progress=False) as again:
        there = {item: again.get(item).vector for item in again}
    counts["lost"] += len(held.keys() - there.keys())
    counts["returned"] += len(there.keys() - held.keys())
    counts["wrong answers"] += changed(held, there)
    tally("threads are interrupted, opened", seconds=seconds, **counts)
    check(counts, told)


def test_a_worker_notices_what_is_wrong():
    """The test above can fail."""
    index = fs.VisualIndex(dim=DIM)
    worker = Worker(index, 0, threading.Event())
    index.add_vectors([vector_of(1)], ids=["0-1"])
    worker.open_ids = ["0-1"], [2]
    with pytest.raises(AssertionError):
        worker.resolve()

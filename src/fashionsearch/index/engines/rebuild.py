"""A store without its dead slots and a graph of it, made in a thread of its own while searches and changes go on."""

from __future__ import annotations

import atexit
import ctypes
import threading
import time
import weakref

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.engines.base import Graph
from fashionsearch.index.engines.store import Store
from fashionsearch.progress import open_bar

_CHUNK = 500  # rows between two looks at whether to stop
_SAMPLE = 10_000  # rows that a graph learns from how to hold them
_REST = 100  # rows that whoever takes the result may have to add

_running: weakref.WeakSet[Rebuild] = weakref.WeakSet()
_closing = threading.Event()


class Rebuild:
    """The rows of a store in new slots, the dead ones left out, and a graph of them.

    It only reads the store, whose rows never change once they are there, so it needs no lock. Rows that are added
    meanwhile are caught up with, and rows that go are taken out at the end, by `take`.

    Attributes:
        total: rows there were when it began.
        done: of them, those that are in the graph.
        finished: whether `take` may be called.
    """

    def __init__(self, store: Store, graph: Graph | None) -> None:
        self._store, self._graph = store, graph
        self._slots = np.fromiter(store.slot_of.values(), dtype=np.intp, count=len(store))
        self._vectors: NDArray[np.float32] = store.room.array(0, store.dim)
        self._seen = store.size
        self._ready = 0  # rows of ours that are in the graph and verified
        self._stop = False
        self._thread: threading.Thread | None = None
        self.total, self.done = len(store), 0
        self.finished = False
        self._failure: BaseException | None = None

    @property
    def is_behind(self) -> bool:
        """Whether the store has gained more rows since than `take` should add."""
        return self._store.size - self._seen > _REST

    @property
    def failure(self) -> BaseException | None:
        """What ended the work before its time, if anything did."""
        if self._failure is None and not (
            self.finished or self.is_running or self._stop or _closing.is_set()
        ):
            return RuntimeError("its thread ended")
        return self._failure

    @property
    def is_running(self) -> bool:
        """Whether its thread is at work; at the end of the process none is started any more."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin, or catch up, in a thread of its own."""
        self.finished = False
        if _closing.is_set():
            return  # a thread that is in native code when the interpreter ends would crash it
        self._thread = threading.Thread(target=self._run, name="fashionsearch-rebuild", daemon=True)
        _running.add(self)
        try:
            self._thread.start()
        except (RuntimeError, MemoryError) as error:  # no room for one more thread
            self._thread, self._failure = None, error

    def _run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # whatever it is, whoever asks next is told
            self._failure = error

    def work_now(self) -> None:
        """Do all of it, before a search or a change goes on: it is no reason for either to fail."""
        try:
            self.work()
        except Exception as error:
            self._failure = error

    def work(self) -> None:
        """Begin, or catch up, in the thread that calls."""
        self._add(self._slots[self._ready :])
        while self.is_behind and not self._stop:
            self._catch_up()
        self.finished = not self._stop

    def _catch_up(self) -> None:
        size = self._store.size
        fresh = np.arange(self._seen, size)
        self._slots, self._seen = np.concatenate([self._slots, fresh]), size
        self._add(fresh)

    def _add(self, fresh: NDArray[np.intp]) -> None:
        start, end = self._ready, self._ready + len(fresh)
        if end > len(self._vectors):
            wider = self._store.room.array(end + end // 8, self._store.dim)
            wider[:start] = self._vectors[:start]
            self._vectors = wider
        known = self._store.prepared
        if self._graph is not None:
            if not start and end:
                self._graph.learn(known[fresh[:: max(1, end // _SAMPLE)]])
            self._graph.reserve(len(self._vectors))
        for chunk in chunks(start, end):
            self._vectors[chunk.start : chunk.stop] = known[fresh[chunk.start - start : chunk.stop - start]]
            if self._graph is not None and not self._stop:
                self._graph.add(chunk, self._vectors)
            self.done = chunk.stop
        for chunk in chunks(start, end):
            if self._graph is not None and not self._stop:
                self._graph.verify(chunk, self._vectors)
        self._ready = end

    def wait(self, seconds: float, *, progress: bool) -> None:
        """Wait for the thread, at most so long, and show a bar once that takes over two seconds."""
        thread, until = self._thread, time.monotonic() + seconds
        if thread is None:
            return
        with open_bar(self.total, "indexing", "item", shown=progress) as bar:
            while thread.is_alive() and time.monotonic() < until:
                thread.join(0.1)
                bar.update(min(self.done, self.total) - bar.n)

    def stop(self) -> None:
        """End the thread soon, and wait for it."""
        self._stop = True
        if self._thread is not None:
            self._thread.join()

    def take(self) -> tuple[Store, Graph | None]:
        """Return the new store and its graph; the old store must not change meanwhile, and this is of no use after."""
        self._catch_up()
        fresh = self._store.renumbered(self._slots, self._vectors)
        if self._graph is not None:
            self._graph.remove(np.flatnonzero(~fresh.alive).tolist(), fresh.vectors)
        return fresh, self._graph

    def abandon(self) -> None:
        """Forget the graph for ever: it was copied by a fork in the middle of a change, and even to free it may crash."""
        leak(self._graph)


def leak(thing: object) -> None:
    """Keep a thing from ever being freed."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def chunks(start: int, end: int) -> list[range]:
    """Return ranges of rows between which whoever adds them looks whether to stop."""
    return [range(at, min(at + _CHUNK, end)) for at in range(start, end, _CHUNK)]


@atexit.register
def _stop_all() -> None:
    _closing.set()
    for rebuild in list(_running):
        rebuild.stop()

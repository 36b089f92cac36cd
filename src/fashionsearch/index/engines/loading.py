"""The graph of an opened index, read in a thread of its own while searches are exact."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.engines.base import Graph
from fashionsearch.index.engines.rebuild import Rebuild, chunks
from fashionsearch.index.engines.store import Store


class Loading(Rebuild):
    """A graph that is read, and caught up with the rows of a store, which keep their slots.

    Args:
        store: what the graph is of.
        graph: an empty one.
        read: fills it.
    """

    def __init__(self, store: Store, graph: Graph, read: Callable[[], None]) -> None:
        super().__init__(store, graph)
        self._read, self._is_read = read, False

    def work(self) -> None:
        """Read the graph, and add the rows that came meanwhile."""
        if not self._is_read:
            self._read_now()
            self._is_read, self.done = True, self.total
        while self.is_behind and not self._stop:
            self._catch_up()
        self.finished = not self._stop

    def _read_now(self) -> None:
        if self._stop:
            return
        # Each takes a second for a million rows, and most of that outside of Python.
        # A thread and not an executor, whose lock a fork holds while it waits for us.
        failures: list[BaseException] = []

        def verify() -> None:
            try:
                self._store.verify()
            except BaseException as error:  # raised below, in the thread that whoever asks is told of
                failures.append(error)

        beside = threading.Thread(target=verify, name="fashionsearch-verify", daemon=True)
        beside.start()
        try:
            self._read()
        finally:
            beside.join()
        if failures:
            raise failures[0]

    def _catch_up(self) -> None:
        size = self._store.size
        fresh, self._seen = range(self._seen, size), size
        self._extend(fresh, self._store.prepared)

    def _extend(self, slots: range, vectors: NDArray[np.float32]) -> None:
        """Add rows to the graph, and verify them."""
        for chunk in chunks(slots.start, slots.stop):
            if self._graph is not None and not self._stop:
                self._graph.add(chunk, vectors)
        for chunk in chunks(slots.start, slots.stop):
            if self._graph is not None and not self._stop:
                self._graph.verify(chunk, vectors)

    def take(self) -> tuple[Store, Graph | None]:
        """Return the store and its graph; the store must not change meanwhile, and this is of no use after."""
        self._catch_up()
        if self._graph is not None:
            dead: NDArray[np.intp] = np.flatnonzero(~self._store.alive)
            there = dead[self._graph.labels(dead.tolist()) >= 0] if len(dead) else dead
            self._graph.remove(there.tolist(), self._store.prepared)
        return self._store, self._graph

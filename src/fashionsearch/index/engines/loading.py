"""The graph of an opened index, read in a thread of its own while searches are exact."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.index.engines.base import Graph
from fashionsearch.index.engines.rebuild import Rebuild, chunks
from fashionsearch.index.engines.store import Store

T = TypeVar("T")
_PATIENCE = 1.0  # seconds that a search under way may take
_GRACE = 0.05  # seconds in which it returns its answer


class Aside(Generic[T]):
    """Work that begins at once in a thread of its own, and whose failure is raised where its result is asked for.

    Args:
        work: what to do, most of it outside of Python.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._found: list[T] = []
        self._failure: BaseException | None = None
        # A thread and not an executor, whose lock a fork holds while it waits for us.
        thread = threading.Thread(target=self._run, name="fashionsearch-aside", daemon=True)
        self._thread: threading.Thread | None = thread
        try:
            thread.start()
        except (RuntimeError, MemoryError):  # no room for one more: whoever asks for the result does the work
            self._thread = None

    def _run(self) -> None:
        try:
            self._found.append(self._work())
        except BaseException as error:  # whatever it is, whoever asks is told
            self._failure = error

    def wait(self) -> None:
        """Wait until it is done."""
        if self._thread is not None:
            self._thread.join()

    def result(self) -> T:
        """Wait for the work, and return what it returned."""
        if self._thread is None:
            return self._work()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._found[0]


class Verified(NamedTuple):
    """A file that is what was saved, as far as the system tells.

    Attributes:
        path: of the file.
        seen: its size, its time and its number when that was found.
    """

    path: Path
    seen: tuple[int, int, int]

    @classmethod
    def of(cls, saved: storage.Saved, name: str) -> Verified:
        """Verify a saved file.

        Raises:
            CorruptFileError: if it isn't what was saved.
        """
        seen = _seen(saved.generation / name)
        return cls(saved.path(name), seen)

    def check(self) -> None:
        """Raise CorruptFileError if the file was changed since."""
        if _seen(self.path) != self.seen:
            raise errors.CorruptFileError(f"{self.path} was changed while it was read")


def _seen(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise errors.CorruptFileError(f"{path} can't be read: {error.strerror or error}") from error
    return found.st_size, found.st_mtime_ns, found.st_ino


class _StoppedError(Exception):
    """Nobody waits for the graph any more."""


class Loading(Rebuild):
    """A graph that is read, and caught up with the rows of a store, which keep their slots.

    Args:
        store: what the graph is of.
        graph: an empty one.
        file: the graph's, while it is being verified.
        read: fills the graph, and calls what it is given for the path of its file.
        searching: a lock that is held by whoever searches.
    """

    def __init__(
        self,
        store: Store,
        graph: Graph,
        file: Aside[Verified],
        read: Callable[[Callable[[], Path]], None],
        searching: threading.RLock,
    ) -> None:
        super().__init__(store, graph)
        self._file, self._read, self.searching, self._is_read = file, read, searching, False

    def work(self) -> None:
        """Read the graph, and add the rows that came meanwhile."""
        if not self._is_read:
            self._read_now()
        while self._is_read and self.is_behind and not self._stop:
            self._catch_up()
        self.finished = self._is_read and not self._stop

    def _read_now(self) -> None:
        rows = Aside(self._store.verify)

        def path() -> Path:
            """Wait for what couldn't go on beside hnswlib's reading, which lets no other thread run Python."""
            file = self._file.result()
            rows.result()
            searching = self.searching
            if searching.acquire(timeout=_PATIENCE):
                searching.release()
            time.sleep(_GRACE)
            if self._stop:
                raise _StoppedError
            file.check()
            return file.path

        try:
            self._read(path)
        except _StoppedError:
            return
        finally:
            self._file.wait()
            rows.wait()
        self._is_read, self.done = True, self.total

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

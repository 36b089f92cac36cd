"""The engine in this process's memory: a store of rows, and a graph beside it once the store is large."""

from __future__ import annotations

import contextlib
import operator
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.index import forks
from fashionsearch.index.engines import planner
from fashionsearch.index.engines.base import DAMAGE, Facts, Graph, Settings
from fashionsearch.index.engines.rebuild import Rebuild, leak
from fashionsearch.index.engines.room import Room
from fashionsearch.index.engines.store import Store
from fashionsearch.index.engines.stored import fill, from_files, to_files
from fashionsearch.index.filters import Condition
from fashionsearch.index.rows import Id, Rows
from fashionsearch.results import Matches
from fashionsearch.values import Value

_EXACT_BYTES = 8 * 2**20  # below this, scanning every vector takes about as long as a walk through the graph
_MAX_DEAD = 0.2
_AT_ONCE = 2000  # rows that are rebuilt well within a second, without a thread
_CHUNK = 200  # rows that are added to the graph while searches wait
_PAUSE = 0.0003  # seconds in which those who wait get the lock


class _State(NamedTuple):
    store: Store
    graph: Graph | None


class LocalEngine:
    """Rows in memory; what it offers is described in `base.Engine`.

    The store is the truth and publishes each change by one assignment. The graph holds every row of the store or is
    dropped, and is made again, without dead slots, by a `Rebuild` aside; until that is there, searches are exact.
    """

    def __init__(
        self, settings: Settings, graph_type: type[Graph] | None = None, *, folder: Path | None = None
    ) -> None:
        self.settings = settings
        self._graph_type = graph_type
        self._room = Room(on_disk=settings.storage != "float32", folder=folder)
        self._state = _State(Store(settings.dim, self._room), None)
        self._rebuild: Rebuild | None = None
        self._changing = threading.RLock()
        self._lock = threading.RLock()  # held for moments: a graph can't be changed and searched at once
        forks.register(self)

    @property
    def changing(self) -> contextlib.AbstractContextManager[Any]:
        """A lock that one thread may take several times."""
        return self._changing

    @contextlib.contextmanager
    def _held(self) -> Iterator[Store]:
        """Give the store, whole, and let nobody publish meanwhile."""
        with self._lock:
            self._state.store.finish()
            yield self._state.store

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Store]:
        """Give the store to whoever asks from outside."""
        with self._held() as store:
            yield store

    @property
    def id_kind(self) -> type | None:
        """The kind of ids, str or int, which the first row ever added decides."""
        with self._reading() as store:
            return store.id_kind

    @property
    def next_id(self) -> int:
        """One more than the largest integer id there ever was, or 0."""
        with self._reading() as store:
            return store.next_id

    @property
    def has_graph(self) -> bool:
        """Whether searches may walk through a graph; until then every search is exact."""
        self._unless_changing(self._install)
        return self._state.graph is not None

    def allow(self, ef_search: int) -> bool:
        """Verify some more rows for a lower `ef_search`; return whether all are, so that searches keep to that at once."""
        with self._reading() as store:
            graph = self._state.graph
            return graph is None or graph.allow(ef_search, store.prepared)

    def __len__(self) -> int:
        with self._reading() as store:
            return len(store)

    def __contains__(self, item: object) -> bool:
        with self._reading() as store:
            return item in store.slot_of

    def __iter__(self) -> Iterator[Id]:
        with self._reading() as store:
            ids = list(store.slot_of)
        return iter(ids)

    def fetch(self, ids: Sequence[Id]) -> Rows:
        """Return rows by id.

        Raises:
            UnknownIdError: if one isn't there.
        """
        with self._reading() as store:
            return store.fetch(ids)

    def search(
        self, vectors: NDArray[np.float32], k: int, condition: Condition | None, exact: bool
    ) -> Matches:
        """Return the k nearest rows of each vector (n, dim), of those that meet a condition, nearest first."""
        self._unless_changing(self._tidy)
        with self._reading() as store:
            graph = None if exact else self._state.graph
            return planner.search(store, graph, vectors, k, condition, self.settings)

    def check_field(self, field: str, asker: str) -> None:
        """Raise InputError, which says who asks, if there are rows and none has such a metadata field."""
        if len(self):
            self._state.store.column(field, asker)

    def counts(
        self, field: str, condition: Condition | None, most: int | None = None
    ) -> list[tuple[Value, int]]:
        """Return a field's values and how many rows that meet a condition have each, the commonest first."""
        with self._reading() as store:
            return store.counts(field, condition)[:most]

    def upsert(self, rows: Rows) -> None:
        """Add rows; those whose ids are there replace vector, metadata and source."""
        with self._changing:
            store = self._start_change()
            with self._lock:
                change = store.adding(rows)
            graph = self._state.graph
            if graph is not None and len(rows) > len(graph):
                self._state = _State(
                    store, None
                )  # to make it anew takes hardly longer, and that is done aside
            elif graph is not None:
                self._extend(range(store.size, change.size), store.prepared)
            with self._lock:
                store.publish(change)
                self._change_graph(operator.methodcaller("remove", change.dead, store.prepared))
            self._tidy()

    def delete(self, ids: Sequence[Id]) -> None:
        """Remove rows; all the ids are there, each once."""
        with self._changing:
            store = self._start_change()
            change = store.removing(ids)
            with self._lock:
                store.publish(change)
                self._change_graph(operator.methodcaller("remove", change.dead, store.prepared))
            self._tidy()

    def update(self, item: Id, metadata: Mapping[str, Value]) -> None:
        """Set fields of the metadata of a row that is there; its other fields stay."""
        with self._changing:
            store = self._start_change()
            with self._lock:
                store.publish(store.updating(item, metadata))

    def _become(self, other: LocalEngine) -> None:
        """Take over all that another engine, which is of no use then, holds; whoever calls holds `changing`."""
        if self._rebuild is not None:
            self._rebuild.stop()
        with self._lock:
            self._rebuild, self._state = other._rebuild, other._state

    def _start_change(self) -> Store:
        """Return the store to change; a graph that an interruption left behind it is dropped."""
        self._report_failure()
        with self._held() as store:
            if not self._is_whole():
                self._state = _State(store, None)
            return store

    def _is_whole(self) -> bool:
        store, graph = self._state
        return graph is None or (graph.end == store.size and len(graph) == len(store))

    def _extend(self, slots: range, vectors: NDArray[np.float32]) -> None:
        """Add prepared rows to the graph, bit by bit so that searches go on; they find only what is published."""
        chunks = [slots[start : start + _CHUNK] for start in range(0, len(slots), _CHUNK)]
        for name in ("add", "verify"):
            for chunk in chunks:
                self._change_graph(operator.methodcaller(name, chunk, vectors))
                if len(chunks) > 1:
                    time.sleep(_PAUSE)

    def _change_graph(self, change: Callable[[Graph], None]) -> None:
        """Change the graph, if there is one; where that is interrupted half-way, the graph is gone."""
        with self._lock:
            store, graph = self._state
            if graph is not None:
                self._state = _State(store, None)
                change(graph)
                self._state = _State(store, graph)

    def _needs_rebuild(self) -> bool:
        store, graph = self._state
        wasteful = store.size - len(store) > _MAX_DEAD * store.size
        too_large_to_scan = 4 * store.dim * len(store) > _EXACT_BYTES
        return wasteful or (self._graph_type is not None and graph is None and too_large_to_scan)

    def _tidy(self) -> None:
        """Leave out dead slots when they are many, and make a graph when the store has grown to need one."""
        if self._rebuild is None and self._needs_rebuild():
            with self._held() as store:
                large = 4 * store.dim * len(store) > _EXACT_BYTES
                graph = self._graph_type(self.settings) if self._graph_type and large else None
                rebuild = Rebuild(store, graph)
            if rebuild.total <= _AT_ONCE:
                rebuild.work_now()
            else:
                rebuild.start()
            self._rebuild = rebuild
        self._install()

    def _install(self) -> None:
        """Put what was rebuilt aside in the place of what is there."""
        rebuild = self._rebuild
        if rebuild is None or not rebuild.finished:
            return
        if rebuild.is_behind:
            rebuild.start()
            return
        with self._held():
            self._rebuild = None  # interrupted, it begins anew
            self._state = _State(*rebuild.take())

    def _unless_changing(self, action: Callable[[], None]) -> None:
        """Do something that no change must be in the way of; one that is going on does it at its end."""
        free = False
        try:
            free = self._changing.acquire(blocking=False)
            if free:
                action()
        finally:
            if free:
                self._changing.release()

    def settle(self, seconds: float) -> None:
        """Wait until what is made aside is there, at most so long."""
        until = time.monotonic() + seconds
        while (rebuild := self._rebuild) is not None and rebuild.failure is None:
            rebuild.wait(until - time.monotonic(), progress=self.settings.progress)
            self._unless_changing(self._install)
            ended = self._rebuild is rebuild and not (rebuild.finished or rebuild.is_running)
            if ended or time.monotonic() >= until:
                break
            if rebuild.finished:  # another thread is changing, and puts it in place at its end
                time.sleep(_PAUSE)
        self._unless_changing(self._report_failure)

    def _report_failure(self) -> None:
        rebuild = self._rebuild
        if rebuild is not None and rebuild.failure is not None:
            self._rebuild = None
            warnings.warn(
                f"the index could not be rebuilt for speed ({rebuild.failure!r}); its answers are right, "
                "and it is tried again after the next change",
                errors.DataWarning,
                stacklevel=5,
            )

    def facts(self) -> Facts:
        """Return what it knows of itself."""
        with self._reading() as store:
            graph = self._state.graph
            return Facts(
                1 - len(store) / max(1, store.size),
                store.duplicates(),
                store.bytes + (0 if graph is None else graph.bytes),
            )

    def identity(self, given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return what is given: a folder keeps it beside these rows."""
        return given

    def refresh(self) -> None:
        """Do nothing: these rows are this process's alone."""

    def close(self) -> None:
        """Do nothing: memory is given back when nobody needs it."""

    def before_fork(self) -> None:
        """Do nothing: memory may be copied at any moment."""

    def after_fork_in_parent(self) -> None:
        """Do nothing."""

    def after_fork(self) -> None:
        """Renew the locks, and forget what other threads were doing: they aren't in this process."""
        if not self._lock.acquire(blocking=False):
            leak(self._state.graph)
            self._state = _State(self._state.store, None)
        self._lock, self._changing = threading.RLock(), threading.RLock()
        self._state.store.after_fork()
        if self._graph_type is not None and not self._graph_type.survives_fork:
            leak(self._state.graph)
            self._state = _State(self._state.store, None)
            self._graph_type = None  # a new graph would hang as well
        if self._rebuild is not None:
            self._rebuild.abandon()
            self._rebuild = None

    def writers(self) -> tuple[dict[str, storage.Writer], dict[str, Any]]:
        """Return what writes the engine's files, and what `read` needs beside them, as JSON holds it."""
        with self._reading() as store:
            arrays, content = to_files(store)
            files, notes = self._graph_writers(store)
        files["vectors.safetensors"] = storage.write_arrays(arrays)
        files["items.json"] = storage.write_json(content)
        return files, notes

    def _graph_writers(self, store: Store) -> tuple[dict[str, storage.Writer], dict[str, Any]]:
        graph = self._state.graph if self._is_whole() else None
        notes = {"next_id": store.next_id, "graph": None if graph is None else graph.notes()}
        if graph is None:
            return {}, notes
        labels = graph.labels(list(store.slot_of.values()))
        return {"graph.safetensors": storage.write_arrays({"labels": labels}), graph.file: graph.write}, notes

    def read(self, saved: storage.Saved, notes: Mapping[str, Any], *, rebuild: bool) -> None:
        """Fill this new engine from saved files; `rebuild` makes the graph anew, whatever was saved.

        Raises:
            CorruptFileError: if they aren't what an engine writes.
        """
        store = from_files(saved.arrays("vectors.safetensors"), saved.json("items.json"), self._room)
        self._take_in(store, saved, notes)
        if notes["graph"] is not None and self._graph_type is not None and not rebuild:
            self._state = _State(
                store, self._read_graph(self._graph_type(self.settings), saved, notes["graph"])
            )
        self._tidy()

    def _take_in(self, store: Store, saved: storage.Saved, notes: Mapping[str, Any]) -> None:
        store.next_id = notes["next_id"]
        fewest = 1 + max(store.slot_of) if store.id_kind is int and len(store) else 0  # type: ignore[operator]
        if store.dim != self.settings.dim or type(store.next_id) is not int or store.next_id < fewest:
            raise errors.CorruptFileError(f"{saved.folder}: index.json and items.json don't fit each other")
        self._state = _State(store, None)

    def _read_graph(self, graph: Graph, saved: storage.Saved, notes: Any) -> Graph | None:
        """Fill a fresh graph from the saved one, or return None, with a warning, if that is damaged."""
        try:
            fill(graph, saved, notes, len(self._state.store), lambda: saved.path(graph.file))
        except (errors.StorageError, *DAMAGE) as error:
            warnings.warn(f"building the graph again: {error}", errors.DataWarning, stacklevel=5)
            return None
        return graph

    def __getstate__(self) -> dict[str, Any]:
        with self._changing, self._reading() as store, tempfile.TemporaryDirectory() as folder:
            state: dict[str, Any] = {"settings": self.settings, "graph_type": self._graph_type}
            state |= {"rows": to_files(store), "next_id": store.next_id, "graph": None}
            graph = self._state.graph if self._is_whole() else None
            if graph is not None:
                graph.write(path := Path(folder) / "graph")
                labels = graph.labels(list(store.slot_of.values()))
                state["graph"] = (path.read_bytes(), labels, graph.notes())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["settings"], state["graph_type"])  # type: ignore[misc]
        arrays, content = state["rows"]
        store = from_files(arrays, content, self._room)
        store.next_id = state["next_id"]
        graph = None
        if state["graph"] is not None and self._graph_type is not None:
            content, labels, notes = state["graph"]
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "graph"
                path.write_bytes(content)
                graph = self._graph_type(self.settings)
                graph.read(path, labels, notes)
        self._state = _State(store, graph)

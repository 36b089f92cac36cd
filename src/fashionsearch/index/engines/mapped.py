"""The local engine, from a checkpoint's files: vectors are mapped, and a large graph is read aside."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fashionsearch import storage
from fashionsearch.index.engines.blocks import digests
from fashionsearch.index.engines.loading import Aside, Loading, Verified
from fashionsearch.index.engines.local import LocalEngine
from fashionsearch.index.engines.stored import fill, from_mapped, to_mapped

_VECTORS, _ARRAYS, _ITEMS = "vectors.f32", "rows.safetensors", "items.json"
_PATIENCE = 600  # seconds
_ASIDE = 32 * 2**20  # bytes of a graph's file from which on searches don't wait until it is read


class MappedEngine(LocalEngine):
    """A local engine whose files are made for opening it in a moment."""

    @property
    def is_loading(self) -> bool:
        """Whether a graph is being read."""
        return isinstance(self._rebuild, Loading) and self._rebuild.is_running

    def finish_loading(self) -> None:
        """Wait for a graph that is being read, and take it."""
        if isinstance(self._rebuild, Loading):
            self._rebuild.wait(_PATIENCE, progress=False)
            self._unless_changing(self._install)

    def _become(self, other: LocalEngine) -> None:
        super()._become(other)
        if isinstance(self._rebuild, Loading):
            self._rebuild.searching = self._lock  # searches are ours from now on

    def _tidy(self) -> None:
        if isinstance(self._rebuild, Loading) and self._rebuild.failure is not None:
            self._report_failure()  # nobody else looks where nothing changes
        super()._tidy()

    def mapped_writers(self) -> tuple[dict[str, storage.Writer], dict[str, Any]]:
        """Return what `writers` does, for `read_mapped`."""
        with self._reading() as store:
            vectors, arrays, content = to_mapped(store)
            files, notes = self._graph_writers(store)
        arrays["digests"] = digests(vectors)

        def write(path: Path) -> None:
            with path.open("wb") as file:
                file.write(vectors.data)

        files |= {
            _VECTORS: write,
            _ARRAYS: storage.write_arrays(arrays),
            _ITEMS: storage.write_json(content),
        }
        return files, notes

    def read_mapped(self, saved: storage.Saved, notes: Mapping[str, Any]) -> None:
        """Fill this new engine from what `mapped_writers` wrote.

        Raises:
            CorruptFileError: if it isn't that; of vectors, only once they are looked at.
        """
        graph = None
        if notes["graph"] is not None and self._graph_type is not None:
            graph = self._graph_type(self.settings)
        file = None
        if graph is not None and saved.files[graph.file]["bytes"] >= _ASIDE:
            file = Aside(partial(Verified.of, saved, graph.file))
        try:
            path = saved.generation / _VECTORS
            mapped, arrays, items = saved.mapped(_VECTORS), saved.arrays(_ARRAYS), saved.json(_ITEMS)
            store = from_mapped(mapped, arrays, items, self._room, path)
            self._take_in(store, saved, notes)
        except BaseException:
            if file is not None:
                file.wait()
            raise
        if graph is not None and file is None:
            store.verify()
            self._state = self._state._replace(graph=self._read_graph(graph, saved, notes["graph"]))
        elif graph is not None and file is not None:
            read = partial(fill, graph, saved, notes["graph"], len(store))
            self._rebuild = Loading(store, graph, file, read, self._lock)
            self._rebuild.start()
        self._tidy()

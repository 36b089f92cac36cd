"""The same graph through faiss, which has wheels everywhere and needs no compiler."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index.engines import codes
from fashionsearch.index.engines.base import Settings
from fashionsearch.index.engines.hidden import Hidden
from fashionsearch.index.engines.hnsw import HnswGraph
from fashionsearch.neighbours import score

_ENDLESS = 2**62
_WITHIN = 10  # the places among which a row is to find itself by small vectors, which its like may share


def available() -> bool:
    """Return whether faiss can be imported."""
    try:
        importlib.import_module("faiss")
    except ImportError:
        return False
    return True


def _distances(found: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Return distances as hnswlib gives them: 1 − cosine, or the squared distance."""
    return 1 - found if metric == "cosine" else np.maximum(found, 0)


class _Index:
    """faiss's graph with the methods of hnswlib's that `HnswGraph` calls; nodes are numbered as they are added."""

    def __init__(self, metric: str, dim: int) -> None:
        self._metric, self._dim = metric, dim
        self.storage = "float32"
        self.trained: Any = None  # an empty graph that knows how to hold vectors, where that must be learned
        self._graph: Any = None
        self._ef = 10
        self._dead: set[int] = set()
        self._selector: tuple[Any, ...] = ()

    def init_index(self, *, max_elements: int, M: int, ef_construction: int, random_seed: int) -> None:
        """Make an empty graph; it grows by itself, whatever `max_elements`."""
        self._graph = self.trained or codes.empty("float32", self._dim, self._metric, M)
        self.trained = None
        hnsw = codes.walked(self._graph).hnsw
        hnsw.efConstruction = ef_construction
        hnsw.rng = codes.library().RandomGenerator(random_seed)

    def get_max_elements(self) -> int:
        """Return how many nodes it has room for."""
        return _ENDLESS

    def resize_index(self, count: int) -> None:
        """Do nothing: it grows by itself."""

    def get_current_count(self) -> int:
        """Return the number of nodes, the dead ones among them."""
        return int(self._graph.ntotal)

    def get_ids_list(self) -> NDArray[np.int64]:
        """Return the number of each node."""
        return np.arange(self._graph.ntotal)

    def add_items(self, vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """Add nodes, whose labels are the next numbers."""
        if labels.tolist() != list(range(self._graph.ntotal, self._graph.ntotal + len(labels))):
            raise errors.StorageError(
                "a graph of faiss was to get a node out of order; this is a bug, please report it"
            )
        self._graph.add(self._prepared(vectors))

    def _prepared(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._metric == "cosine":
            rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return np.ascontiguousarray(rows, dtype=np.float32)

    def mark_deleted(self, label: int) -> None:
        """Find a node no more."""
        self._dead.add(label)
        self._selector = ()

    def set_ef(self, ef: int) -> None:
        """Look at so many candidates from now on."""
        self._ef = ef

    def knn_query(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return labels and distances (1 − cosine, or the squared distance).

        Raises:
            RuntimeError: if a walk finds fewer.
        """
        faiss = codes.library()
        if self._dead and not self._selector:
            dead = faiss.IDSelectorBatch(np.array(sorted(self._dead), dtype=np.int64))
            self._selector = faiss.IDSelectorNot(dead), dead  # both, because faiss holds neither
        chosen = {"sel": self._selector[0]} if self._selector else {}
        how = faiss.SearchParametersHNSW(efSearch=max(self._ef, k), **chosen)
        if self.storage == codes.REDUCED:
            how = faiss.SearchParametersPreTransform(index_params=how)
        found, labels = self._graph.search(self._prepared(queries), k, params=how)
        if (labels < 0).any():
            raise RuntimeError("fewer nodes within reach than asked for")
        return labels, _distances(found, "euclidean" if self.storage == codes.REDUCED else self._metric)

    def index_file_size(self) -> int:
        """Return about how many bytes the graph takes up."""
        links = 8 + 4 * int(codes.walked(self._graph).hnsw.nb_neighbors(0))
        return int(self._graph.ntotal) * (codes.bytes_of(self.storage, self._dim) + links)

    def save_index(self, path: str) -> None:
        """Write faiss's file; unlike hnswlib, faiss raises RuntimeError where it isn't written whole."""
        faiss = codes.library()
        faiss.write_index(self._graph, path)

    def load_index(self, path: str) -> None:
        """Read a file that `save_index` wrote.

        Raises:
            RuntimeError: if it is of another kind.
        """
        faiss = codes.library()
        graph = faiss.read_index(path)
        if not codes.fits(graph, self.storage, self._dim, self._metric):
            raise RuntimeError("the file holds another kind of index")
        self._graph = graph


class FaissGraph(HnswGraph):
    """`HnswGraph` on faiss instead of hnswlib, which can hold vectors in less than float32.

    Then a walk finds somewhat more than is asked for, by the small vectors, and these are compared by the whole ones.
    """

    file = "graph.faiss"
    survives_fork = False  # the threads of OpenMP don't

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._storage = settings.storage

    def _made(self, settings: Settings) -> Any:
        return _Index(settings.metric, settings.dim)

    @property
    def _within(self) -> int:
        return _WITHIN if self._is_small else 1

    @property
    def _is_small(self) -> bool:
        return bool(self._index.storage != "float32")

    def learn(self, sample: NDArray[np.float32]) -> None:
        """Choose how to hold vectors, where that is left to the graph, and learn it."""
        storage = codes.chosen(sample, self._metric) if self._storage == "auto" else self._storage
        self._index.storage = storage
        self._index.trained = codes.trained(storage, sample, self._metric, self._settings["M"])

    def candidates(
        self, queries: NDArray[np.float32], count: int, ef_search: int, vectors: NDArray[np.float32]
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]] | None:
        """Return slots and similarities as `HnswGraph` does, the similarities of the whole vectors."""
        if not self._is_small:
            return super().candidates(queries, count, ef_search, vectors)
        found = super().candidates(queries, codes.wider(count), ef_search, vectors)
        if found is None:
            return None
        return found[0], score(vectors, found[0], queries, self._metric).astype(np.float32)

    def notes(self) -> dict[str, Any]:
        """Return what `read` needs beside the file and the labels."""
        return {**super().notes(), "storage": self._index.storage}

    def _compared(self, vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> Hidden:
        return _FaissHidden(vectors, labels, self._metric)

    def write(self, path: Path) -> None:
        """Write faiss's file.

        Raises:
            StorageError: if it wasn't written whole.
        """
        try:
            self._index.save_index(str(path))
        except RuntimeError as error:
            raise errors.StorageError(f"{path} wasn't written whole; is the disk full?") from error

    def read(self, path: Path, labels: NDArray[np.int64], notes: Mapping[str, Any]) -> None:
        """Fill this fresh graph from a verified file whose slots 0, 1, 2, … have these labels.

        Raises:
            CorruptFileError: if the file, the labels and the notes don't fit each other.
        """
        self._index.storage = notes.get("storage", "float32")
        if self._storage not in ("auto", self._index.storage):
            raise errors.CorruptFileError(f"{path} doesn't fit what the index notes of it")
        super().read(path, labels, notes)
        for dead in np.flatnonzero(self._first_slot < 0).tolist():
            self._index.mark_deleted(dead)


class _FaissHidden(Hidden):
    """`Hidden` on faiss instead of hnswlib."""

    def _made(self, vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> Any:
        faiss = codes.library()
        flat = faiss.IndexFlat(vectors.shape[1], codes.kind(self._metric))
        numbered = faiss.IndexIDMap(flat)
        numbered.add_with_ids(np.ascontiguousarray(vectors), labels)
        return _Flat(numbered, self._metric)


class _Flat:
    """Vectors compared one by one, with the method of hnswlib's `BFIndex`."""

    def __init__(self, index: Any, metric: str) -> None:
        self._index, self._metric = index, metric

    def knn_query(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return labels and distances (1 − cosine, or the squared distance)."""
        found, labels = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
        return labels, _distances(found, self._metric)

"""The HNSW graph (Malkov and Yashunin 2018, arXiv:1603.09320) through hnswlib: a cache of the store, rebuilt at will.

hnswlib checks little, so everything is checked here: shapes and values before they reach it, its file by size and
SHA-256, and labels that are never used twice. Equal vectors share one node, for many of them cut a graph in pieces.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from fashionsearch import errors

_SPACES = {"cosine": "cosine", "euclidean": "l2"}
_CHUNK = 2000


def available() -> bool:
    """Return whether hnswlib can be imported."""
    try:
        importlib.import_module("hnswlib")
    except ImportError:
        return False
    return True


class HnswGraph:
    """Finds candidates for a query among a store's slots; it holds every live slot or is thrown away."""

    def __init__(
        self,
        dim: int,
        metric: str,
        *,
        m: int,
        ef_construction: int,
        ef_search: int,
        random_state: int,
        progress: bool,
    ) -> None:
        import hnswlib

        self._dead = 0
        self._metric = metric
        self._ef_search = ef_search
        self._hidden: list[int] = []
        self._hidden_rows: NDArray[np.float32] | None = (
            None  # their vectors, gathered when they are first needed
        )
        self._progress = progress
        self._index: Any = hnswlib.Index(space=_SPACES[metric], dim=dim)
        self._settings = {"M": m, "ef_construction": ef_construction, "random_seed": random_state}
        self._started = False  # hnswlib takes an index that is started or loaded, and not both
        self._label_of_slot: dict[int, int] = {}
        self._slots_of_label: dict[int, list[int]] = {}
        # The same by label as arrays, for many queries at once: nearly every node stands for one slot.
        self._first_slot = np.zeros(0, dtype=np.intp)
        self._is_shared = np.zeros(0, dtype=bool)
        self._label_of_digest: dict[bytes, int] | None = {}
        self._next_label = 0

    def __len__(self) -> int:
        return len(self._slots_of_label)

    def add(self, slots: Sequence[int], vectors: NDArray[np.float32], known: NDArray[np.float32]) -> None:
        """Add rows by slot; `known` is the store's vectors, for rows the graph was loaded with."""
        digests = self._digests(known)
        fresh: list[int] = []
        for place, slot in enumerate(slots):
            digest = _digest(vectors[place])
            label = digests.get(digest)
            if label is None:
                label = self._next_label
                self._next_label += 1
                digests[digest] = label
                fresh.append(place)
            self._note(slot, label)
        labels = np.array([self._label_of_slot[slots[place]] for place in fresh], dtype=np.int64)
        self._insert(vectors, fresh, labels)

    def _note(self, slot: int, label: int) -> None:
        self._label_of_slot[slot] = label
        slots = self._slots_of_label.setdefault(label, [])
        slots.append(slot)
        if label >= len(self._first_slot):
            room = max(_CHUNK, label + 1 - len(self._first_slot), len(self._first_slot))
            self._first_slot = np.concatenate([self._first_slot, np.zeros(room, dtype=np.intp)])
            self._is_shared = np.concatenate([self._is_shared, np.zeros(room, dtype=bool)])
        self._first_slot[label], self._is_shared[label] = slots[0], len(slots) > 1

    def _insert(self, vectors: NDArray[np.float32], fresh: Sequence[int], labels: NDArray[np.int64]) -> None:
        if not self._started:
            self._index.init_index(max_elements=max(_CHUNK, len(fresh)), **self._settings)
            self._started = True
        needed = self._index.get_current_count() + len(fresh)
        if needed > self._index.get_max_elements():
            self._index.resize_index(max(needed, 2 * self._index.get_max_elements()))
        bar = tqdm(
            total=len(fresh), desc="indexing", unit="item", delay=2, disable=None if self._progress else True
        )
        with bar:
            for start in range(0, len(fresh), _CHUNK):
                part = fresh[start : start + _CHUNK]
                self._index.add_items(vectors[list(part)], labels[start : start + _CHUNK])
                bar.update(len(part))
        if len(fresh):
            self._note_hidden(vectors[list(fresh)], labels)

    def _note_hidden(self, vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """Remember the few nodes that a walk to their own vector misses; they become candidates of every query."""
        self._index.set_ef(self._ef_search)
        found, _ = self._index.knn_query(vectors, k=1)
        self._hidden += labels[found[:, 0].astype(np.int64) != labels].tolist()
        self._hidden_index = None

    def _digests(self, known: NDArray[np.float32]) -> dict[bytes, int]:
        if self._label_of_digest is None:
            self._label_of_digest = {
                _digest(known[slot]): label for slot, label in self._label_of_slot.items()
            }
        return self._label_of_digest

    def remove(self, slots: Sequence[int], known: NDArray[np.float32]) -> None:
        """Remove rows by slot; `known` is the store's vectors."""
        digests = self._digests(known)
        for slot in slots:
            label = self._label_of_slot.pop(slot)
            rest = self._slots_of_label[label]
            rest.remove(slot)
            if rest:
                self._first_slot[label], self._is_shared[label] = rest[0], len(rest) > 1
            else:
                del self._slots_of_label[label]
                if label in self._hidden:
                    self._hidden.remove(label)
                    self._hidden_index = None
                digests.pop(_digest(known[slot]), None)
                self._index.mark_deleted(label)
                self._dead += 1

    def candidates(
        self, queries: NDArray[np.float32], count: int, ef_search: int, known: NDArray[np.float32]
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]] | None:
        """Return (n, m) slots, about the `count` nearest of each query or more, and their (n, m) similarities.

        A row that has fewer is filled up with −1 and NaN. None where the graph can't tell. `known` is the store's vectors.
        """
        count = min(count, len(self))
        self._index.set_ef(max(ef_search, count))
        try:
            found, distances = self._index.knn_query(queries, k=count)
        except RuntimeError:
            return None  # fewer nodes within reach than asked for; exact search knows
        labels, similarities = found.astype(np.int64), _similarities(distances, self._metric)
        if self._hidden and labels.size:
            labels, similarities = self._with_hidden(labels, similarities, queries, known)
        slots = np.where(labels >= 0, self._first_slot[labels], -1)
        several = (labels >= 0) & self._is_shared[labels]
        if not several.any():
            return slots, similarities
        rows, places = np.nonzero(several)
        twins = [self._slots_of_label[label][1:] for label in labels[rows, places].tolist()]
        counts = [len(slots_of_one) for slots_of_one in twins]
        others = np.array([slot for slots_of_one in twins for slot in slots_of_one], dtype=np.intp)
        return _widened(
            slots,
            similarities,
            np.repeat(rows, counts),
            others,
            np.repeat(similarities[rows, places], counts),
        )

    def _with_hidden(
        self,
        labels: NDArray[np.int64],
        similarities: NDArray[np.float32],
        queries: NDArray[np.float32],
        known: NDArray[np.float32],
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Add the nearest of the hidden nodes, −1 and NaN where the walk found them too."""
        hidden = self._hidden_index
        if hidden is None:
            hidden = self._hidden_index = self._compared_one_by_one(known)
        count = min(labels.shape[1], len(self._hidden))
        found, distances = hidden.knn_query(self._prepared(queries), k=count)
        more, alike = found.astype(np.int64), _similarities(distances, self._metric)
        there = (more[:, :, None] == labels[:, None, :]).any(axis=2)
        more[there], alike[there] = -1, np.nan
        return np.concatenate([labels, more], axis=1), np.concatenate([similarities, alike], axis=1)

    def _compared_one_by_one(self, known: NDArray[np.float32]) -> Any:
        """Return hnswlib's index without a graph, of the hidden nodes.

        The threads of numpy's products would spin on after them, where the next walk needs the processor.
        """
        import hnswlib

        space = {"cosine": "ip", "euclidean": "l2"}[self._metric]
        index = hnswlib.BFIndex(space=space, dim=known.shape[1])
        index.init_index(max_elements=len(self._hidden))
        rows = known[self._first_slot[self._hidden]]
        index.add_items(self._prepared(rows), np.array(self._hidden, dtype=np.int64))
        return index

    def _prepared(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return rows of length one for cosine: hnswlib's index without a graph doesn't see to that for queries."""
        return rows / np.linalg.norm(rows, axis=1, keepdims=True) if self._metric == "cosine" else rows

    def write(self, path: Path) -> None:
        """Write hnswlib's file.

        Raises:
            StorageError: if it wasn't written whole; hnswlib itself doesn't notice.
        """
        self._index.save_index(str(path))
        expected = self._index.index_file_size()
        written = path.stat().st_size if path.exists() else 0
        if written != expected:
            raise errors.StorageError(
                f"{path}: {written:,} of {expected:,} bytes were written; is the disk full?"
            )

    def labels(self, slots: Sequence[int]) -> NDArray[np.int64]:
        """Return the label of each slot."""
        return np.array([self._label_of_slot[slot] for slot in slots], dtype=np.int64)

    def settings(self) -> dict[str, Any]:
        """Return what `read` needs beside the file and the labels."""
        return {"next_label": self._next_label, "dead": self._dead, "hidden": self._hidden}

    def read(
        self, path: Path, labels: NDArray[np.int64], *, next_label: int, dead: int, hidden: list[int]
    ) -> None:
        """Fill this fresh graph from a verified file whose slots 0, 1, 2, … have these labels.

        Raises:
            CorruptFileError: if the file doesn't fit the labels.
        """
        self._index.load_index(str(path))
        self._started = True
        if self._index.get_current_count() != len(set(labels.tolist())) + dead:
            raise errors.CorruptFileError(f"{path} holds another number of nodes than the index")
        for slot, label in enumerate(labels.tolist()):
            self._note(slot, label)
        self._label_of_digest = None
        self._next_label, self._dead, self._hidden, self._hidden_index = next_label, dead, list(hidden), None


def _widened(
    slots: NDArray[np.intp],
    similarities: NDArray[np.float32],
    rows: NDArray[np.intp],
    more: NDArray[np.intp],
    alike: NDArray[np.float32],
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Append to rows of (n, m) slots and similarities, −1 and NaN where a row gets fewer than others.

    Args:
        slots: (n, m).
        similarities: (n, m).
        rows: (p,) in ascending order: where each addition belongs.
        more: (p,) slots to add.
        alike: (p,) their similarities.
    """
    counts = np.bincount(rows, minlength=len(slots))
    filled = np.arange(counts.max()) < counts[:, None]
    added = np.full(filled.shape, -1, dtype=np.intp)
    scores = np.full(filled.shape, np.nan, dtype=np.float32)
    added[filled], scores[filled] = more, alike
    return np.concatenate([slots, added], axis=1), np.concatenate([similarities, scores], axis=1)


def _similarities(distances: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Return what hnswlib's distances mean: it gives 1 − cosine, or the squared distance."""
    if metric == "cosine":
        similarities: NDArray[np.float32] = np.clip(1 - distances, -1, 1)
        return similarities
    return -np.sqrt(distances)


def _digest(vector: NDArray[np.float32]) -> bytes:
    return hashlib.blake2b(vector.tobytes(), digest_size=16).digest()

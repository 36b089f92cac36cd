"""The HNSW graph (Malkov and Yashunin 2018, arXiv:1603.09320) through hnswlib: a cache of the store, rebuilt at will.

hnswlib checks little, so everything is checked here: shapes and values before they reach it, its file by size and
SHA-256, and labels that are never used twice. Equal vectors share one node, for many of them cut a graph in pieces.
"""

from __future__ import annotations

import bisect
import hashlib
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index.engines.base import Settings
from fashionsearch.index.engines.hidden import Hidden
from fashionsearch.index.engines.widening import grown, similarities_of, widened

_SPACES = {"cosine": "cosine", "euclidean": "l2"}
_CHUNK = 2000
_QUICK_EF = 10
_NEVER = 2**31 - 1  # above any ef
_LARGE = 20_000  # nodes
_MOST_HIDDEN = 16  # to compare a query with in a large graph, times ef: some hundredths of a walk's time
_VERIFIED = 500  # rows that a search verifies when ef has been lowered: some tens of milliseconds


def available() -> bool:
    """Return whether hnswlib can be imported."""
    try:
        importlib.import_module("hnswlib")
    except ImportError:
        return False
    return True


class HnswGraph:
    """Finds candidates for a query among a store's slots; it holds every live slot or is thrown away."""

    file = "graph.hnsw"
    survives_fork = True

    def __init__(self, settings: Settings) -> None:
        self.end = 0
        self._metric = settings.metric
        self._index: Any = self._made(settings)
        self._settings = {
            "M": settings.m,
            "ef_construction": settings.ef_construction,
            "random_seed": settings.random_state,
        }
        self._started = False  # hnswlib takes an index that is started or loaded, and not both
        # Nearly every node stands for one slot; those of nodes that stand for several are listed, in ascending order.
        self._label_of_slot = np.zeros(0, dtype=np.int64)  # −1 where a slot isn't there
        self._first_slot = np.zeros(0, dtype=np.intp)  # by label, likewise
        self._is_shared = np.zeros(0, dtype=bool)
        self._slots_of_shared: dict[int, list[int]] = {}
        self._rows = self._nodes = 0
        self._label_of_digest: dict[bytes, int] | None = {}  # None until it is needed after `read`
        self._next_label = 0
        self._dead = 0
        # Nodes that a walk to their own vector misses, and the smallest ef with which it is known to find them: at a lower ef
        # they are candidates of every query. Beside them for which ef those that are hidden are the same, and they.
        self._hidden: dict[int, int] = {}
        self._hidden_at: tuple[range, Hidden] | None = None
        self._lowest_ef = settings.ef_search
        self._wanted_ef = settings.ef_search  # lower while rows are verified for it
        self._unverified: list[int] = []  # labels of those rows

    def _made(self, settings: Settings) -> Any:
        import hnswlib

        return hnswlib.Index(space=_SPACES[settings.metric], dim=settings.dim)

    def __len__(self) -> int:
        return self._rows

    @property
    def _within(self) -> int:
        """The places among which a row is to find itself."""
        return 1

    @property
    def nodes(self) -> int:
        """How many nodes stand for rows; equal vectors share one."""
        return self._nodes

    def learn(self, sample: NDArray[np.float32]) -> None:
        """Do nothing: rows are held as they are."""

    def reserve(self, count: int) -> None:
        """Make room for so many nodes at once, which is faster than bit by bit."""
        if not self._started:
            self._index.init_index(max_elements=max(_CHUNK, count), **self._settings)
            self._started = True
        elif count > self._index.get_max_elements():
            self._index.resize_index(count)

    def add(self, slots: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Add rows, in ascending order of their slots."""
        digests = self._digests(vectors)
        fresh: list[int] = []
        for slot in slots:
            digest = _digest(vectors[slot])
            label = digests.get(digest)
            if label is None:
                label = digests[digest] = self._next_label
                self._next_label += 1
                fresh.append(slot)
            self._map(slot, label)
        needed = self._index.get_current_count() + len(fresh) if self._started else len(fresh)
        if not self._started or needed > self._index.get_max_elements():
            self.reserve(max(needed, 2 * self._index.get_max_elements() if self._started else 0))
        if fresh:
            self._index.add_items(vectors[fresh], self.labels(fresh))
        self.end = max(self.end, 1 + max(slots, default=-1))

    def _map(self, slot: int, label: int) -> None:
        self._label_of_slot = grown(self._label_of_slot, slot, -1)
        self._first_slot = grown(self._first_slot, label, -1)
        self._is_shared = grown(self._is_shared, label, False)
        self._label_of_slot[slot] = label
        self._rows += 1
        first = int(self._first_slot[label])
        if first < 0:
            self._first_slot[label] = slot
            self._nodes += 1
        else:
            self._slots_of_shared.setdefault(label, [first]).append(slot)
            self._is_shared[label] = True

    def _labels_there(self) -> NDArray[np.int64]:
        return np.flatnonzero(self._first_slot >= 0).astype(np.int64)

    def _digests(self, vectors: NDArray[np.float32]) -> dict[bytes, int]:
        if self._label_of_digest is None:
            there = self._labels_there()
            slots = self._first_slot[there].tolist()
            self._label_of_digest = {
                _digest(vectors[slot]): label for slot, label in zip(slots, there.tolist(), strict=True)
            }
        return self._label_of_digest

    def verify(self, slots: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """See to it that these rows, the last of which has been added, find themselves."""
        self._verify(np.unique(self.labels(slots)), vectors)

    def _verify(
        self, labels: NDArray[np.int64], vectors: NDArray[np.float32], found_at: int = _NEVER
    ) -> None:
        """Note which nodes a walk misses; `found_at` is the ef with which it is known to find them."""
        if len(labels):
            # A walk that looks at more candidates meets all that one of fewer met, so most rows are done at once.
            missed = labels
            for ef in sorted({min(_QUICK_EF, self._wanted_ef), self._wanted_ef}):
                missed = self._missed(missed, vectors, ef)
            for label in missed.tolist():
                self._hidden[label] = max(found_at, self._hidden.get(label, 0))
            self._hidden_at = None

    def _missed(self, labels: NDArray[np.int64], vectors: NDArray[np.float32], ef: int) -> NDArray[np.int64]:
        """Return which nodes a walk to their own vector misses."""
        if not len(labels):
            return labels
        self._index.set_ef(ef)
        own = vectors[self._first_slot[labels]]
        try:
            found = self._index.knn_query(own, k=min(self._within, self.nodes))[0].astype(np.int64)
        except RuntimeError:  # one of the walks meets nothing that is alive
            found = np.array([[self._nearest(row)] for row in own])
        missed: NDArray[np.int64] = labels[(found != labels[:, None]).all(axis=1)]
        return missed

    def _nearest(self, row: NDArray[np.float32]) -> int:
        try:
            return int(self._index.knn_query(row[None], k=1)[0][0, 0])
        except RuntimeError:
            return -1

    def _lower_ef(self, ef_search: int, vectors: NDArray[np.float32]) -> None:
        """Verify some rows at a lower ef than ever before, which holds once all rows are verified."""
        if ef_search < self._wanted_ef:
            self._unverified, self._wanted_ef = self._labels_there().tolist(), ef_search
        labels = [label for label in self._unverified[-_VERIFIED:] if self._first_slot[label] >= 0]
        self._verify(np.array(labels, dtype=np.int64), vectors, self._lowest_ef)
        del self._unverified[-_VERIFIED:]
        if not self._unverified:
            self._lowest_ef = self._wanted_ef

    def remove(self, slots: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Remove rows."""
        if not len(slots):
            return
        digests = self._digests(vectors)
        gone_of_label: dict[int, set[int]] = {}
        for slot in slots:
            gone_of_label.setdefault(int(self._label_of_slot[slot]), set()).add(slot)
            self._label_of_slot[slot] = -1
        self._rows -= sum(map(len, gone_of_label.values()))
        for label, gone in gone_of_label.items():
            rest = self._slots_of_shared.get(label, [])
            if len(gone) == 1 and rest:
                del rest[bisect.bisect_left(rest, min(gone))]
            else:
                rest[:] = [slot for slot in rest if slot not in gone]
            self._first_slot[label], self._is_shared[label] = rest[0] if rest else -1, len(rest) > 1
            if len(rest) <= 1:
                self._slots_of_shared.pop(label, None)
            if rest:
                continue
            self._nodes -= 1
            if label in self._hidden:
                del self._hidden[label]
                self._hidden_at = None
            digests.pop(_digest(vectors[gone.pop()]), None)
            self._index.mark_deleted(label)
            self._dead += 1

    def candidates(
        self, queries: NDArray[np.float32], count: int, ef_search: int, vectors: NDArray[np.float32]
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]] | None:
        """Return (n, m) slots, about the `count` nearest of each query or more, and their (n, m) similarities.

        A row that has fewer is filled up with −1 and NaN. None where the graph can't tell.
        """
        self.allow(ef_search, vectors)
        count = min(count, self.nodes)
        # Until all rows are known to find themselves at a lower ef, searches keep to the one at which they do.
        ef = max(ef_search, self._lowest_ef, count)
        self._index.set_ef(ef)
        try:
            found, distances = self._index.knn_query(queries, k=count)
        except RuntimeError:
            return None  # fewer nodes within reach than asked for; exact search knows
        labels, similarities = found.view(np.int64), similarities_of(distances, self._metric)
        if self._hidden and labels.size:
            if self._hidden_at is None or ef not in self._hidden_at[0]:
                self._hidden_at = self._hidden_from(vectors, ef)
            labels, similarities = self._hidden_at[1].joined(labels, similarities, queries)
        slots_found = self._first_slot.take(labels, mode="clip")
        if labels.shape[1] > found.shape[1]:
            slots_found[labels < 0] = -1
        if not self._slots_of_shared:
            return slots_found, similarities
        several = (labels >= 0) & self._is_shared.take(labels, mode="clip")
        if not np.count_nonzero(several):
            return slots_found, similarities
        rows, places = np.nonzero(several)
        # The first slot is there already; of thousands of equal vectors, the oldest are enough.
        twins = [self._slots_of_shared[label][1:count] for label in labels[rows, places].tolist()]
        counts = [len(slots_of_one) for slots_of_one in twins]
        others = np.array([slot for slots_of_one in twins for slot in slots_of_one], dtype=np.intp)
        return widened(
            slots_found,
            similarities,
            np.repeat(rows, counts),
            others,
            np.repeat(similarities[rows, places], counts),
        )

    def _hidden_from(self, vectors: NDArray[np.float32], ef: int) -> tuple[range, Hidden]:
        """Return the nodes hidden at an ef, and for which other ef they are the same.

        Of a large graph only the most hidden are taken, more at a higher ef, so that walks stay what takes the time.
        """
        steps = {0, _NEVER, *self._hidden.values()}
        holds = range(max(step for step in steps if step <= ef), min(step for step in steps if step > ef))
        most = len(self._hidden)
        if self._nodes > _LARGE:
            power = 1 << ef.bit_length() - 1
            most = _MOST_HIDDEN * power
            holds = range(max(holds.start, power), min(holds.stop, 2 * power))
        hidden = sorted((-until, label) for label, until in self._hidden.items() if until > ef)
        labels = np.array(sorted(label for _, label in hidden[:most]), dtype=np.int64)
        return holds, self._compared(vectors[self._first_slot[labels]], labels)

    def _compared(self, vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> Hidden:
        return Hidden(vectors, labels, self._metric)

    def allow(self, ef_search: int, vectors: NDArray[np.float32]) -> bool:
        """Verify some more rows for a lower `ef_search`; return whether all are known to find themselves at that."""
        if ef_search < self._lowest_ef:
            self._lower_ef(ef_search, vectors)
        return self._lowest_ef <= ef_search

    @property
    def bytes(self) -> int:
        """What it takes up in memory, about."""
        return int(self._index.index_file_size()) if self._started else 0

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
        return self._label_of_slot[np.asarray(slots, dtype=np.intp)]

    def notes(self) -> dict[str, Any]:
        """Return what `read` needs beside the file and the labels."""
        return {
            "next_label": self._next_label,
            "dead": self._dead,
            "hidden": sorted(self._hidden),
            "hidden_until": [self._hidden[label] for label in sorted(self._hidden)],
            "hidden_ef": self._lowest_ef,
        }

    def read(self, path: Path, labels: NDArray[np.int64], notes: Mapping[str, Any]) -> None:
        """Fill this fresh graph from a verified file whose slots 0, 1, 2, … have these labels.

        Raises:
            CorruptFileError: if the file, the labels and the notes don't fit each other.
        """
        next_label: Any = notes.get("next_label")
        dead: Any = notes.get("dead")
        hidden: Any = notes.get("hidden")
        lowest_ef: Any = notes.get(
            "hidden_ef", self._lowest_ef
        )  # older versions noted neither this nor the next
        until: Any = notes.get("hidden_until", [_NEVER] * len(hidden) if isinstance(hidden, list) else None)
        ordered = np.sort(labels, axis=None)
        # np.unique imports numpy.ma
        nodes = np.concatenate([ordered[:1], ordered[1:][ordered[1:] != ordered[:-1]]])
        fits = (
            labels.dtype == np.int64
            and all(type(number) is int and number >= 0 for number in (next_label, dead, lowest_ef))
            and len(nodes) > 0
            and nodes[0] >= 0
            and next_label == len(nodes) + dead  # no label is used twice
            and nodes[-1] < next_label
            and isinstance(hidden, list)
            and all(type(label) is int for label in hidden)
            and (not hidden or set(hidden) <= set(nodes.tolist()))
            and isinstance(until, list)
            and len(until) == len(hidden)
            and all(type(ef) is int and ef > 0 for ef in until)
        )
        if not fits:
            raise errors.CorruptFileError(f"{path} doesn't fit what the index notes of it")
        self._index.load_index(str(path))
        self._started = True
        there = np.array(self._index.get_ids_list(), dtype=np.uint64)
        fits = len(there) == next_label and there.max() < next_label
        if not fits or not np.bincount(there.view(np.int64)).all():
            raise errors.CorruptFileError(f"{path} holds other nodes than the index")
        self._label_of_slot, self._rows, self._nodes = labels.copy(), len(labels), len(nodes)
        self._first_slot = np.full(next_label, -1, dtype=np.intp)
        self._first_slot[labels[::-1]] = np.arange(len(labels))[::-1]  # the first of each is written last
        self._is_shared = np.bincount(labels, minlength=next_label) > 1
        for slot in np.flatnonzero(self._is_shared[labels]).tolist():
            self._slots_of_shared.setdefault(int(labels[slot]), []).append(slot)
        self.end = len(labels)
        self._label_of_digest = None
        self._next_label, self._dead = next_label, dead
        self._lowest_ef = self._wanted_ef = lowest_ef
        self._hidden = dict(zip(hidden, until, strict=True))


def _digest(vector: NDArray[np.float32]) -> bytes:
    return hashlib.blake2b(vector.tobytes(), digest_size=16).digest()

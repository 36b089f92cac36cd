"""Nodes of a graph that walks miss: compared with each query one by one, beside the walk."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.engines.widening import similarities_of, widened

_FEW = 64  # nodes that are compared with one query in less time than it takes to ask an index for it
_ROUNDING = 1e-5


class Hidden:
    """Some nodes by label, in an index without a graph.

    Args:
        vectors: (m, dim) float32, of the nodes, as they were added.
        labels: (m,) theirs.
        metric: of the graph.
    """

    def __init__(self, vectors: NDArray[np.float32], labels: NDArray[np.int64], metric: str) -> None:
        self._metric = metric
        self._vectors = self._prepared(vectors)
        self._halves = 0.5 * np.einsum("nd,nd->n", self._vectors, self._vectors)
        self._index = self._made(self._vectors, labels) if len(labels) else None

    def __len__(self) -> int:
        return len(self._vectors)

    def _made(self, vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> Any:
        import hnswlib

        space = {"cosine": "ip", "euclidean": "l2"}[self._metric]
        index = hnswlib.BFIndex(space=space, dim=vectors.shape[1])
        index.init_index(max_elements=len(labels))
        index.add_items(vectors, labels)
        return index

    def _prepared(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        # hnswlib's index without a graph doesn't see to that for queries.
        return rows / np.linalg.norm(rows, axis=1, keepdims=True) if self._metric == "cosine" else rows

    def _is_far(self, query: NDArray[np.float32], farthest: float) -> bool:
        """Return whether none of few nodes is as near to a query as the farthest that its walk found.

        Of more nodes NumPy's product would take several threads, which spin on where the next walk needs the processor.
        """
        products = self._vectors.dot(query)
        square = float(query.dot(query))
        if self._metric == "cosine":
            return float(products[products.argmax()]) < (farthest - _ROUNDING) * math.sqrt(square)
        # |q − v|² = |q|² − 2 (q·v − |v|²/2)
        nearest = square - 2 * float((products - self._halves).max())
        return nearest > farthest * farthest + _ROUNDING * (square + float(self._halves.max()))

    def joined(
        self, labels: NDArray[np.int64], similarities: NDArray[np.float32], queries: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Add to what walks found the nodes that are as near as the farthest of it; −1 and NaN fill rows up.

        Args:
            labels: (n, m) of what was found.
            similarities: (n, m).
            queries: (n, dim).
        """
        if self._index is None:
            return labels, similarities
        if len(queries) == 1 and len(self) <= _FEW and self._is_far(queries[0], float(similarities[0, -1])):
            return labels, similarities
        asked = self._prepared(queries)
        # Few queries have one among their nearest; only those ask for more than the nearest.
        _, distances = self._index.knn_query(asked, k=1)
        concerned = np.flatnonzero(similarities_of(distances, self._metric)[:, 0] >= similarities[:, -1])
        if not len(concerned):
            return labels, similarities
        count = min(labels.shape[1], len(self))
        found, distances = self._index.knn_query(asked[concerned], k=count)
        alike = similarities_of(distances, self._metric)
        rows, places = np.nonzero(alike >= similarities[concerned, -1:])
        more, alike, rows = found[rows, places].astype(np.int64), alike[rows, places], concerned[rows]
        new = (more[:, None] != labels[rows]).all(axis=1)
        if not new.any():
            return labels, similarities
        return widened(labels, similarities, rows[new], more[new], alike[new])

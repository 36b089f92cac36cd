"""How faiss holds vectors in less than float32: in halves, in bytes, or by their 128 principal components."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch.neighbours import score, sort_by_similarity

REDUCED = "pca128"
STORAGES = ("float32", "float16", "int8", REDUCED, "auto")
_COMPONENTS = 128
_LOSS = 0.01  # of recall@10, which "auto" may cost
_SAMPLE, _QUERIES, _K = 5000, 200, 10


def library() -> Any:
    """Return faiss, whose stubs lack most of what it has."""
    return importlib.import_module("faiss")


def kind(metric: str) -> int:
    """Return what faiss calls a metric."""
    faiss = library()
    return int({"cosine": faiss.METRIC_INNER_PRODUCT, "euclidean": faiss.METRIC_L2}[metric])


def wider(count: int) -> int:
    """Return how many candidates by small vectors hold `count` by whole ones."""
    return 3 * count + 20


def bytes_of(storage: str, dim: int) -> int:
    """Return what a vector takes up."""
    return {"float32": 4 * dim, "float16": 2 * dim, "int8": dim, REDUCED: 2 * _COMPONENTS}[storage]


def empty(storage: str, dim: int, metric: str, m: int) -> Any:
    """Return a graph without nodes."""
    faiss = library()
    if storage == "float32":
        return faiss.IndexHNSWFlat(dim, m, kind(metric))
    scalar = faiss.ScalarQuantizer
    if storage == REDUCED:
        # Of vectors of length one the nearest by distance are those by cosine, also after the mean is taken away.
        graph = faiss.IndexHNSWSQ(_COMPONENTS, scalar.QT_fp16, m, faiss.METRIC_L2)
        return faiss.IndexPreTransform(faiss.PCAMatrix(dim, _COMPONENTS), graph)
    kinds = {"float16": scalar.QT_fp16, "int8": scalar.QT_8bit}
    return faiss.IndexHNSWSQ(dim, kinds[storage], m, kind(metric))


def trained(storage: str, sample: NDArray[np.float32], metric: str, m: int) -> Any:
    """Return an empty graph that has learned from (n, dim) vectors how to hold others."""
    graph = empty(storage, sample.shape[1], metric, m)
    if storage != "float32":
        graph.train(_prepared(sample, metric))
    return graph


def walked(graph: Any) -> Any:
    """Return the part of an index that is a graph."""
    faiss = library()
    return faiss.downcast_index(graph.index) if isinstance(graph, faiss.IndexPreTransform) else graph


def fits(graph: Any, storage: str, dim: int, metric: str) -> bool:
    """Return whether an index that was read is what `empty` makes."""
    faiss = library()
    inner = walked(graph)
    expected = faiss.METRIC_L2 if storage == REDUCED else kind(metric)
    made_of = faiss.IndexHNSWFlat if storage == "float32" else faiss.IndexHNSWSQ
    if not isinstance(inner, made_of) or graph.d != dim or inner.metric_type != expected:
        return False
    if (inner is not graph) is not (storage == REDUCED):
        return False
    if storage == "float32":
        return True
    code = faiss.downcast_index(inner.storage).code_size
    return bool(code == bytes_of(storage, dim))


def chosen(sample: NDArray[np.float32], metric: str) -> str:
    """Return the smallest way to hold vectors that costs at most 0.01 of recall@10, measured on a sample.

    Args:
        sample: (n, dim) vectors; of up to 5,000 each 25th is a query among the others.
        metric: by which they are compared.
    """
    vectors = sample[: _SAMPLE + _QUERIES]
    asked, held = vectors[: max(1, min(_QUERIES, len(vectors) // 10))], vectors
    truth = _nearest(asked, held, held, metric, min(_K, len(held)))
    ways = ([REDUCED] if 2 * _COMPONENTS <= held.shape[1] <= len(held) else []) + ["int8", "float16"]
    for storage in sorted(ways, key=lambda way: bytes_of(way, held.shape[1])):
        found = _nearest(asked, held, _coarse(storage, held, metric), metric, truth.shape[1])
        same = [len(np.intersect1d(one, other)) for one, other in zip(found, truth, strict=True)]
        if np.mean(same) >= (1 - _LOSS) * truth.shape[1]:
            return storage
    return "float32"


def _coarse(storage: str, held: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Return vectors as they are after they were held in less."""
    faiss = library()
    rows = _prepared(held, metric)
    if storage == REDUCED:
        components = faiss.PCAMatrix(rows.shape[1], _COMPONENTS)
        components.train(rows)
        restored: NDArray[np.float32] = components.reverse_transform(components.apply(rows))
        return restored
    scalar = faiss.ScalarQuantizer
    code = scalar(rows.shape[1], {"float16": scalar.QT_fp16, "int8": scalar.QT_8bit}[storage])
    code.train(rows)
    decoded: NDArray[np.float32] = code.decode(code.compute_codes(rows))
    return decoded


def _nearest(
    asked: NDArray[np.float32], held: NDArray[np.float32], by: NDArray[np.float32], metric: str, k: int
) -> NDArray[np.intp]:
    """Return the k nearest, of those that are nearest by other vectors, as a search finds them."""
    everything = np.broadcast_to(np.arange(len(held)), (len(asked), len(held)))
    coarse = sort_by_similarity(everything, score(by, everything, asked, metric))[0][:, : wider(k)]
    places: NDArray[np.intp] = sort_by_similarity(coarse, score(held, coarse, asked, metric))[0][:, :k]
    return places


def _prepared(rows: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    if metric == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows, dtype=np.float32)

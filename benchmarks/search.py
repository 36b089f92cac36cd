"""Search: queries a second against recall@10 for hnswlib, faiss, usearch and VisualIndex, and the price of a filter.

The vectors are drawn from a seed. A mixture of 1,000 Gaussians in 32 dimensions, whose spread is 0.7 times that of
their centres, is mapped linearly to 128 dimensions, and noise of 0.3 is added in each: like embeddings of photos they
lie in clusters near a surface of fewer dimensions. The queries are drawn in the same way. Similarity is cosine; every
graph has m = 16 and ef_construction = 200.

- recall: each contender at several ef, in turns; five rounds.
- pairs: `VisualIndex.search_vectors` as it is (ef_search = 50) and raw hnswlib at the smallest ef whose recall is no
  lower, in alternating pairs.
- filters that keep 0.1 %, 1 % and 10 %: `where=` and hnswlib's `filter=` with a set's own `__contains__`, the fastest
  callback, in one thread as its README advises, at the smallest ef of a list whose recall is at least 0.99. Also a range
  over a price, which is different for each item, and queries one by one.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import faiss
import hnswlib
import numpy as np
import numpy.typing as npt
from options import parser
from timing import alternate, median, ratio, write
from usearch.index import Index as UsearchIndex

import fashionsearch as fs

DIM, K, M, EF_CONSTRUCTION = 128, 10, 16, 200
CLUSTERS, LATENT, SPREAD, NOISE = 1000, 32, 0.7, 0.3
EFS = (10, 20, 30, 50, 100, 200)
FILTER_EFS = (10, 12, 14, 17, 20, 25, 30, 40, 50, 70, 100, 150, 200, 300, 500)
FILTER_RECALL = 0.99

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[Any]


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    items: int = 100_000
    queries: int = 1000
    rounds: int = 5
    pairs: int = 30
    filter_pairs: int = 5


QUICK = Sizes(items=20_000, queries=200, rounds=2, pairs=3, filter_pairs=2)


def draw(sizes: Sizes) -> tuple[Vectors, Vectors]:
    """Return the items (n, 128) and the queries (m, 128), of length one."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLUSTERS, LATENT))
    mapping = rng.standard_normal((LATENT, DIM)) / np.sqrt(LATENT)

    def vectors(count: int) -> Vectors:
        points = centres[rng.integers(CLUSTERS, size=count)] + SPREAD * rng.standard_normal((count, LATENT))
        rows = points @ mapping + NOISE * rng.standard_normal((count, DIM))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    return vectors(sizes.items), vectors(sizes.queries)


def nearest(items: Vectors, queries: Vectors, kept: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return the ids (m, 10) of each query's nearest items among those kept, by brute force."""
    best = np.argpartition(-(queries @ items[kept].T), K, axis=1)[:, :K]
    return kept[best]


def hnswlib_index(items: Vectors) -> Any:
    """Return a raw hnswlib index of the items, its ids their row numbers."""
    index = hnswlib.Index("cosine", DIM)
    index.init_index(len(items), M=M, ef_construction=EF_CONSTRUCTION, random_seed=0)
    index.add_items(items, np.arange(len(items)))
    return index


def search_hnswlib(index: Any, queries: Vectors, ef: int) -> Ids:
    """Return ids (m, 10)."""
    index.set_ef(ef)
    return index.knn_query(queries, k=K)[0]


def faiss_index(items: Vectors) -> Any:
    """Return a faiss HNSW index."""
    index = faiss.IndexHNSWFlat(DIM, M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    index.add(items)
    return index


def search_faiss(index: Any, queries: Vectors, ef: int) -> Ids:
    """Return ids (m, 10)."""
    index.hnsw.efSearch = ef
    return index.search(queries, K)[1]


def faiss_flat_index(items: Vectors) -> Any:
    """Return a faiss index that compares with every item."""
    index = faiss.IndexFlatIP(DIM)
    index.add(items)
    return index


def usearch_index(items: Vectors) -> Any:
    """Return a usearch index."""
    index = UsearchIndex(
        ndim=DIM,
        metric="cos",
        dtype="f32",
        connectivity=M,
        expansion_add=EF_CONSTRUCTION,
        expansion_search=EFS[0],
    )
    index.add(np.arange(len(items)), items)
    return index


def search_usearch(index: Any, queries: Vectors, ef: int) -> Ids:
    """Return ids (m, 10)."""
    index.expansion_search = ef
    return index.search(queries, K).keys


def visual_index(items: Vectors) -> fs.VisualIndex:
    """Return an index of our own, of vectors alone."""
    index = fs.VisualIndex(dim=DIM, m=M, ef_construction=EF_CONSTRUCTION, progress=False)
    index.add_vectors(items)
    return index


def search_visual_index(index: fs.VisualIndex, queries: Vectors, ef: int) -> Ids:
    """Return ids (m, 10)."""
    index.ef_search = ef
    return index.search_vectors(queries, K).ids


GRAPHS: dict[str, tuple[Callable[[Vectors], Any], Callable[[Any, Vectors, int], Ids]]] = {
    "hnswlib": (hnswlib_index, search_hnswlib),
    "faiss HNSW": (faiss_index, search_faiss),
    "usearch": (usearch_index, search_usearch),
    "VisualIndex": (visual_index, search_visual_index),
}


def build(items: Vectors) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return every graph by its contender's name, and a row with the time each took."""
    graphs, rows = {}, []
    for name, (make, _) in GRAPHS.items():
        began = time.perf_counter()
        graphs[name] = make(items)
        rows.append({"part": "build", "contender": name, "seconds": round(time.perf_counter() - began, 2)})
        print(f"{name}: built in {rows[-1]['seconds']} s", flush=True)
    return graphs, rows


def compare_recall(
    graphs: Mapping[str, Any], items: Vectors, queries: Vectors, truth: Ids, rounds: int
) -> list[dict[str, Any]]:
    """Return a row for each contender and ef: recall@10 and queries a second."""
    flat = faiss_flat_index(items)
    searches: dict[tuple[str, int | None], Callable[[], Ids]] = {
        (name, ef): partial(search, graphs[name], queries, ef)
        for ef in EFS
        for name, (_, search) in GRAPHS.items()
    }
    searches["faiss flat", None] = lambda: flat.search(queries, K)[1]
    searches["VisualIndex, exact", None] = lambda: (
        graphs["VisualIndex"].search_vectors(queries, K, exact=True).ids
    )
    seconds = alternate(
        {f"{name} {ef or ''}": search for (name, ef), search in searches.items()},
        pairs=rounds,
        progress=False,
    )
    rows = []
    for (name, ef), search in searches.items():
        per_second = median(len(queries) / seconds[f"{name} {ef or ''}"]).row()
        recall = fs.metrics.recall_at_k(search(), truth)
        rows.append(
            {"part": "recall", "contender": name, "ef": ef, "recall": recall, "queries_a_second": per_second}
        )
        print(f"{name} ef={ef}: recall {recall:.4f}, {per_second['value']:,.0f} queries/s", flush=True)
    return rows


def compare_pairs(
    part: str, index: fs.VisualIndex, raw: Any, queries: Vectors, truth: Ids, pairs: int
) -> dict[str, Any]:
    """Return a row: our default search and raw hnswlib at equal recall, in pairs."""
    index.ef_search = 50
    ours = fs.metrics.recall_at_k(index.search_vectors(queries, K).ids, truth)

    def recall(ef: int) -> float:
        return fs.metrics.recall_at_k(search_hnswlib(raw, queries, ef), truth)

    candidates = range(K, 500)
    ef = candidates[bisect.bisect_left(candidates, ours, key=recall)]
    seconds = alternate(
        {
            "VisualIndex": lambda: index.search_vectors(queries, K),
            "hnswlib": lambda: search_hnswlib(raw, queries, ef),
        },
        pairs=pairs,
        progress=False,
    )
    speed = ratio(seconds["hnswlib"], seconds["VisualIndex"])
    print(f"{part}: {speed.value:.3f}× hnswlib, at recall {ours:.4f} (ef {ef})", flush=True)
    return {
        "part": part,
        "ef_search": index.ef_search,
        "recall": ours,
        "hnswlib_ef": ef,
        "hnswlib_recall": recall(ef),
        "queries_a_second": median(len(queries) / seconds["VisualIndex"]).row(),
        "hnswlib_queries_a_second": median(len(queries) / seconds["hnswlib"]).row(),
        "ratio": speed.row(),
    }


def metadata_for(count: int) -> dict[str, list[Any]]:
    """Return columns to filter by: groups of a tenth, a hundredth and a thousandth, and a price of its own for each."""
    rng = np.random.default_rng(1)
    groups = {f"of {size}": rng.integers(size, size=count).tolist() for size in (10, 100, 1000)}
    return {**groups, "price": rng.uniform(0, 100, count).tolist()}


FILTERS = {
    "0.1 %": {"of 1000": 7},
    "1 %": {"of 100": 7},
    "10 %": {"of 10": 7},
    "1 %, by price": {"price": {"lt": 1.0}},
}


def keeps(where: Mapping[str, Any], metadata: Mapping[str, list[Any]]) -> npt.NDArray[np.intp]:
    """Return which items one of `FILTERS` keeps, by numpy alone."""
    ((field, wanted),) = where.items()
    values = np.asarray(metadata[field])
    return np.flatnonzero(values < wanted["lt"] if isinstance(wanted, dict) else values == wanted)


def compare_filter(
    share: str,
    index: fs.VisualIndex,
    raw: Any,
    items: Vectors,
    queries: Vectors,
    kept: npt.NDArray[np.intp],
    pairs: int,
) -> list[dict[str, Any]]:
    """Return two rows: all queries in one call, and one by one."""
    truth, where, allowed = nearest(items, queries, kept), FILTERS[share], set(kept.tolist())

    def with_callback(some: Vectors) -> Ids:
        return raw.knn_query(some, k=K, num_threads=1, filter=allowed.__contains__)[0]

    def recall_of_callback(ef: int) -> float:
        raw.set_ef(ef)
        try:
            return fs.metrics.recall_at_k(with_callback(queries), truth)
        except RuntimeError:  # the walk ended before it met ten items that fit
            return 0.0

    recalls = ((ef, recall_of_callback(ef)) for ef in FILTER_EFS)
    ef, callback_recall = next((pair for pair in recalls if pair[1] >= FILTER_RECALL), (None, 0.0))
    if ef is None:
        raise RuntimeError(
            f"hnswlib's callback reaches no recall of {FILTER_RECALL} up to ef={FILTER_EFS[-1]}"
        )
    raw.set_ef(ef)
    rows = []
    one_by_one = queries[:20]
    # Many queries and one may be answered in different ways.
    recalled = {
        "all at once": lambda: index.search_vectors(queries, K, where=where).ids,
        "one by one": lambda: np.concatenate(
            [index.search_vectors(each, K, where=where).ids for each in queries]
        ),
    }
    for call, count, contenders in (
        (
            "all at once",
            len(queries),
            {
                "VisualIndex": lambda: index.search_vectors(queries, K, where=where),
                "callback": lambda: with_callback(queries),
            },
        ),
        (
            "one by one",
            len(one_by_one),
            {
                "VisualIndex": lambda: [index.search_vectors(each, K, where=where) for each in one_by_one],
                "callback": lambda: [with_callback(each[None]) for each in one_by_one],
            },
        ),
    ):
        seconds = alternate(contenders, pairs=pairs, progress=False)
        speed = ratio(seconds["callback"], seconds["VisualIndex"])
        rows.append(
            {
                "part": "filter",
                "keeps": share,
                "items_kept": len(kept),
                "queries": call,
                "recall": fs.metrics.recall_at_k(recalled[call](), truth),
                "callback_ef": ef,
                "callback_recall": callback_recall,
                "milliseconds_a_query": median(1e3 * seconds["VisualIndex"] / count).row(),
                "callback_milliseconds_a_query": median(1e3 * seconds["callback"] / count).row(),
                "ratio": speed.row(),
            }
        )
        print(f"a filter that keeps {share}, {call}: {speed.value:.1f}× the callback (ef {ef})", flush=True)
    return rows


def measure(sizes: Sizes) -> list[dict[str, Any]]:
    """Return all rows."""
    items, queries = draw(sizes)
    truth = nearest(items, queries, np.arange(len(items)))
    graphs, rows = build(items)
    rows += compare_recall(graphs, items, queries, truth, sizes.rounds)
    index, raw = graphs["VisualIndex"], graphs["hnswlib"]
    rows.append(compare_pairs("pairs", index, raw, queries, truth, sizes.pairs))
    metadata = metadata_for(len(items))
    for item in range(len(items)):
        index.update(item, {field: column[item] for field, column in metadata.items()})
    rows.append(compare_pairs("pairs, with metadata", index, raw, queries, truth, sizes.pairs))
    for share, where in FILTERS.items():
        kept = keeps(where, metadata)
        rows += compare_filter(share, index, raw, items, queries, kept, sizes.filter_pairs)
    return rows


def main() -> None:
    """Run the command line."""
    made = parser(__doc__, data=False)
    made.add_argument(
        "--quick", action="store_true", help="20,000 vectors and few rounds; its figures mean little"
    )
    options = made.parse_args()
    sizes = QUICK if options.quick else Sizes()
    about = {
        "items": sizes.items,
        "dim": DIM,
        "queries": sizes.queries,
        "k": K,
        "m": M,
        "ef_construction": EF_CONSTRUCTION,
        "data": f"{CLUSTERS} Gaussians in {LATENT} dimensions, spread {SPREAD}, noise {NOISE}, seed 0",
    }
    write("search", measure(sizes), folder=options.out, about=about, quick=options.quick)


if __name__ == "__main__":
    main()

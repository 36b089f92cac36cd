"""Search: queries a second against recall@10 for hnswlib, faiss, usearch and VisualIndex, and the price of a filter.

The vectors are drawn from a seed. A mixture of 1,000 Gaussians in 32 dimensions, whose spread is 0.7 times that of
their centres, is mapped linearly to 128 dimensions, and noise of 0.3 is added in each: like embeddings of photos they
lie in clusters near a surface of fewer dimensions. The queries are drawn in the same way. Similarity is cosine; every
graph has m = 16 and ef_construction = 200.

- recall: each contender at several ef, in turns; five rounds.
- pairs: `VisualIndex.search_vectors` as it is (ef_search = 50) and raw hnswlib at the smallest ef whose recall is no
  lower, in alternating pairs: with ids alone, with one column of metadata that is read for every hit, and with four.
- filters that keep 0.1 %, 1 % and 10 %: `where=` and hnswlib's `filter=` with a set's own `__contains__`, the fastest
  callback, in one thread as its README advises, at the smallest ef of a list whose recall is at least 0.99. Also a range
  over a price, which is different for each item, and queries one by one.

With `--only pairs` the other libraries' graphs are left out, so that two versions of ours can be compared in minutes.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import hnswlib
import numpy as np
import numpy.typing as npt
from options import parser
from timing import alternate, median, ratio, write

import fashionsearch as fs

DIM, K, M, EF_CONSTRUCTION = 128, 10, 16, 200
CLUSTERS, LATENT, SPREAD, NOISE = 1000, 32, 0.7, 0.3
EFS = (10, 20, 30, 50, 100, 200)
FILTER_EFS = (10, 12, 14, 17, 20, 25, 30, 40, 50, 70, 100, 150, 200, 300, 500)
FILTER_RECALL = 0.99
PARTS = ("recall", "pairs", "filter")
FILTERS: dict[str, dict[str, Any]] = {"0.1 %": {"of 1000": 7}, "1 %": {"of 100": 7}, "10 %": {"of 10": 7}}
FILTERS["1 %, by price"] = {"price": {"lt": 1.0}}

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[Any]
Row = dict[str, Any]


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


class Hnswlib:
    """A raw hnswlib index, its ids the items' row numbers."""

    def __init__(self, items: Vectors) -> None:
        self.graph = hnswlib.Index("cosine", DIM)
        self.graph.init_index(len(items), M=M, ef_construction=EF_CONSTRUCTION, random_seed=0)
        self.graph.add_items(items, np.arange(len(items)))

    def search(self, queries: Vectors, ef: int, **options: Any) -> Ids:
        """Return ids (m, 10)."""
        self.graph.set_ef(ef)
        return self.graph.knn_query(queries, k=K, **options)[0]


class Faiss:
    """A faiss HNSW index."""

    def __init__(self, items: Vectors) -> None:
        import faiss

        self.graph = faiss.IndexHNSWFlat(DIM, M, faiss.METRIC_INNER_PRODUCT)
        self.graph.hnsw.efConstruction = EF_CONSTRUCTION
        self.graph.add(items)

    def search(self, queries: Vectors, ef: int) -> Ids:
        """Return ids (m, 10)."""
        self.graph.hnsw.efSearch = ef
        return self.graph.search(queries, K)[1]


class Usearch:
    """A usearch index."""

    def __init__(self, items: Vectors) -> None:
        from usearch.index import Index

        graph: dict[str, Any] = {
            "connectivity": M,
            "expansion_add": EF_CONSTRUCTION,
            "expansion_search": EFS[0],
        }
        self.graph = Index(ndim=DIM, metric="cos", dtype="f32", **graph)
        self.graph.add(np.arange(len(items)), items)

    def search(self, queries: Vectors, ef: int) -> Ids:
        """Return ids (m, 10)."""
        self.graph.expansion_search = ef
        return self.graph.search(queries, K).keys


class Ours:
    """An index of our own, of vectors alone."""

    def __init__(self, items: Vectors) -> None:
        self.index = fs.VisualIndex(dim=DIM, m=M, ef_construction=EF_CONSTRUCTION, progress=False)
        self.index.add_vectors(items)

    def search(self, queries: Vectors, ef: int) -> Ids:
        """Return ids (m, 10)."""
        self.index.ef_search = ef
        return self.index.search_vectors(queries, K).ids


GRAPHS: dict[str, Any] = {"hnswlib": Hnswlib, "faiss HNSW": Faiss, "usearch": Usearch, "VisualIndex": Ours}


def build(items: Vectors, names: Sequence[str]) -> tuple[dict[str, Any], list[Row]]:
    """Return graphs by their contender's names, and a row with the time each took."""
    graphs: dict[str, Any] = {}
    rows = []
    for name in names:
        began = time.perf_counter()
        graphs[name] = GRAPHS[name](items)
        rows.append({"part": "build", "contender": name, "seconds": round(time.perf_counter() - began, 2)})
        print(f"{name}: built in {rows[-1]['seconds']} s", flush=True)
    return graphs, rows


def compare_recall(
    graphs: Mapping[str, Any], items: Vectors, queries: Vectors, truth: Ids, rounds: int
) -> Iterator[Row]:
    """Yield a row for each contender and ef: recall@10 and queries a second."""
    import faiss

    flat, ours = faiss.IndexFlatIP(DIM), graphs["VisualIndex"].index
    flat.add(items)
    searches: dict[tuple[str, int | None], Callable[[], Ids]] = {
        (name, ef): partial(graph.search, queries, ef) for ef in EFS for name, graph in graphs.items()
    }
    searches["faiss flat", None] = lambda: flat.search(queries, K)[1]
    searches["VisualIndex, exact", None] = lambda: ours.search_vectors(queries, K, exact=True).ids
    timed = {f"{name} {ef or ''}": search for (name, ef), search in searches.items()}
    seconds = alternate(timed, pairs=rounds, progress=False)
    for (name, ef), search in searches.items():
        rate = median(len(queries) / seconds[f"{name} {ef or ''}"]).row()
        recall = fs.metrics.recall_at_k(search(), truth)
        print(f"{name} ef={ef}: recall {recall:.4f}, {rate['value']:,.0f} queries/s", flush=True)
        yield {"part": "recall", "contender": name, "ef": ef, "recall": recall, "queries_a_second": rate}


def read_every_hit(index: fs.VisualIndex, queries: Vectors) -> None:
    """Search, and read the metadata of every hit, as a caller does who shows what was found."""
    for hits in index.search_vectors(queries, K).metadata:
        for fields in hits:
            fields.get("price")


def compare_pairs(
    part: str,
    index: fs.VisualIndex,
    raw: Hnswlib,
    queries: Vectors,
    truth: Ids,
    pairs: int,
    *,
    ours: Callable[[fs.VisualIndex, Vectors], object] = lambda index, queries: index.search_vectors(
        queries, K
    ),
) -> Row:
    """Return a row: our default search and raw hnswlib at equal recall, in pairs."""
    index.ef_search = 50
    reached = fs.metrics.recall_at_k(index.search_vectors(queries, K).ids, truth)

    def recall(ef: int) -> float:
        return fs.metrics.recall_at_k(raw.search(queries, ef), truth)

    efs = range(K, 500)
    ef = efs[bisect.bisect_left(efs, reached, key=recall)]
    contenders = {"VisualIndex": lambda: ours(index, queries), "hnswlib": lambda: raw.search(queries, ef)}
    seconds = alternate(contenders, pairs=pairs, progress=False)
    speed = ratio(seconds["hnswlib"], seconds["VisualIndex"])
    print(f"{part}: {speed.value:.3f}× hnswlib, at recall {reached:.4f} (ef {ef})", flush=True)
    return {
        "part": part,
        "ef_search": index.ef_search,
        "recall": reached,
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


def keeps(where: Mapping[str, Any], metadata: Mapping[str, list[Any]]) -> npt.NDArray[np.intp]:
    """Return which items one of `FILTERS` keeps, by numpy alone."""
    ((field, wanted),) = where.items()
    values = np.asarray(metadata[field])
    return np.flatnonzero(values < wanted["lt"] if isinstance(wanted, dict) else values == wanted)


def compare_filter(
    share: str,
    index: fs.VisualIndex,
    raw: Hnswlib,
    queries: Vectors,
    truth: Ids,
    kept: npt.NDArray[np.intp],
    pairs: int,
) -> Iterator[Row]:
    """Yield two rows: all queries in one call, and one by one."""
    where, allowed = FILTERS[share], set(kept.tolist())

    def callback(some: Vectors, ef: int) -> Ids:
        return raw.search(some, ef, num_threads=1, filter=allowed.__contains__)

    def recall(ef: int) -> float:
        try:
            return fs.metrics.recall_at_k(callback(queries, ef), truth)
        except RuntimeError:  # the walk ended before it met ten items that fit
            return 0.0

    def ours(some: Vectors) -> Ids:
        return index.search_vectors(some, K, where=where).ids

    recalls = ((ef, recall(ef)) for ef in FILTER_EFS)
    ef, their_recall = next((pair for pair in recalls if pair[1] >= FILTER_RECALL), (0, 0.0))
    if not ef:
        raise RuntimeError(
            f"hnswlib's callback reaches no recall of {FILTER_RECALL} up to ef={FILTER_EFS[-1]}"
        )
    for call, calls, every in (
        ("all at once", [queries], [queries]),
        ("one by one", list(queries[:20, None]), list(queries[:, None])),
    ):

        def each(search: Callable[[Vectors], Ids], calls: list[Vectors] = calls) -> Callable[[], object]:
            return lambda: [search(some) for some in calls]

        contenders = {"VisualIndex": each(ours), "callback": each(partial(callback, ef=ef))}
        seconds, count = alternate(contenders, pairs=pairs, progress=False), sum(map(len, calls))
        speed = ratio(seconds["callback"], seconds["VisualIndex"])
        print(f"a filter that keeps {share}, {call}: {speed.value:.1f}× the callback (ef {ef})", flush=True)
        yield {
            "part": "filter",
            "keeps": share,
            "items_kept": len(kept),
            "queries": call,
            # Many queries and one may be answered in different ways.
            "recall": fs.metrics.recall_at_k(np.concatenate([ours(some) for some in every]), truth),
            "callback_ef": ef,
            "callback_recall": their_recall,
            "milliseconds_a_query": median(1e3 * seconds["VisualIndex"] / count).row(),
            "callback_milliseconds_a_query": median(1e3 * seconds["callback"] / count).row(),
            "ratio": speed.row(),
        }


def measure(sizes: Sizes, parts: Sequence[str]) -> list[Row]:
    """Return the rows of some of `PARTS`."""
    items, queries = draw(sizes)
    truth = nearest(items, queries, np.arange(len(items)))
    graphs, rows = build(items, list(GRAPHS) if "recall" in parts else ["hnswlib", "VisualIndex"])
    if "recall" in parts:
        rows += compare_recall(graphs, items, queries, truth, sizes.rounds)
    index, raw = graphs["VisualIndex"].index, graphs["hnswlib"]
    metadata = metadata_for(len(items))
    if "pairs" in parts:
        pair = partial(compare_pairs, raw=raw, queries=queries, truth=truth, pairs=sizes.pairs)
        rows.append(pair("pairs", index))
        for item, price in enumerate(metadata["price"]):
            index.update(item, {"price": price})
        rows.append(pair("pairs, one column read for every hit", index, ours=read_every_hit))
    for item in range(len(items)):
        index.update(item, {field: column[item] for field, column in metadata.items()})
    if "pairs" in parts:
        rows.append(pair("pairs, with metadata", index))
    for share, where in FILTERS.items() if "filter" in parts else ():
        kept = keeps(where, metadata)
        nearest_kept = nearest(items, queries, kept)
        rows += compare_filter(share, index, raw, queries, nearest_kept, kept, sizes.filter_pairs)
    return rows


def main() -> None:
    """Run the command line."""
    made = parser(__doc__, data=False, quick="20,000 vectors and few rounds")
    made.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="some parts; default: all")
    options = made.parse_args()
    sizes = QUICK if options.quick else Sizes()
    about = {"items": sizes.items, "dim": DIM, "queries": sizes.queries, "k": K, "m": M}
    drawn = f"{CLUSTERS} Gaussians in {LATENT} dimensions, spread {SPREAD}, noise {NOISE}, seed 0"
    about |= {"ef_construction": EF_CONSTRUCTION, "data": drawn}
    write("search", measure(sizes, options.only), folder=options.out, about=about, quick=options.quick)


if __name__ == "__main__":
    main()

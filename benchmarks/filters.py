"""Filtered search: recall and speed from 0.01 % to 50 % of the items, beside hnswlib's callback and Qdrant's local mode.

    python benchmarks/filters.py

100,000 vectors drawn as those of `search.py`, 128 numbers long; m = 16 and ef_construction = 200. A filter keeps a share of
the items: at random; those that lie the way of the queries ("with"); or those that lie the other way ("against"): the way
is a direction, the queries are the thousand that lie farthest along it, and the items are kept from one end of it. The
callback is a set's own `__contains__`, the fastest there is. Both sides read the metadata, four columns, of every hit, have
one core, and search at the smallest ef of a list whose recall@10 is at least 0.99, batches and singles each at theirs;
where the callback reaches that at none, its recall at the largest is what is compared. A batch is 1,000 queries, or 100
where a filter keeps less than 1 %, for which the callback takes long. Singles are 200 queries one by one, with the same
filter, as a page of a shop asks.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy reads it: equal threads for all
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {0})

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
from search import DIM, Ids, K, Sizes, Vectors, draw
from timing import alternate, median, ratio, write

import fashionsearch as fs
from fashionsearch.index.engines.column import Column

SHARES = (0.0001, 0.001, 0.01, 0.1, 0.5)
WAYS = ("random", "with", "against")
EFS = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320)
GOAL, SINGLES, JUDGED, FEW = 0.99, 200, 200, 100
Row = dict[str, Any]


def recall(found: Ids, truth: Ids) -> float:
    """Return recall@10; a query of which fewer items are kept is judged by these."""
    return float(
        np.mean(
            [
                len(set(f) & set(t)) / max(1, len(t))
                for f, t in zip(found.tolist(), truth.tolist(), strict=True)
            ]
        )
    )


def kept_of(items: Vectors, direction: Vectors, share: float, way: str) -> Ids:
    """Return the items that a filter keeps."""
    count = max(K, round(share * len(items)))
    if way == "random":
        return np.random.default_rng(round(1e6 * share)).permutation(len(items))[:count]
    order = np.argsort(items @ direction)
    return order[-count:] if way == "with" else order[:count]


def measured(
    name: str, search: Callable[[Vectors, int], Ids], queries: Vectors, truth: Ids
) -> tuple[int, float, bool]:
    """Return the smallest ef that reaches the goal, its recall, and whether it does."""
    found = 0.0
    for ef in EFS:
        try:
            found = recall(search(queries, ef), truth)
        except RuntimeError:  # hnswlib: fewer than k within reach
            continue
        if found >= GOAL:
            return ef, found, True
    return EFS[-1], found, False


def one_by_one(search: Callable[[Vectors, int], Ids]) -> Callable[[Vectors, int], Ids]:
    """Return a search of each query by itself."""
    return lambda some, ef: np.concatenate([search(query[None], ef) for query in some])


def compare(items: Vectors, queries: Vectors, rounds: int, shares: Sequence[float]) -> Iterator[Row]:
    """Measure all filters."""
    direction = np.random.default_rng(5).standard_normal(DIM).astype(np.float32)
    queries = queries[np.argsort(queries @ direction)[-1000:]]
    raw = hnswlib.Index(space="cosine", dim=DIM)
    raw.init_index(max_elements=len(items), M=16, ef_construction=200, random_seed=0)
    raw.add_items(items, np.arange(len(items)))
    raw.set_num_threads(1)
    columns = {
        name: [f"{name} {n % size}" for n in range(len(items))]
        for name, size in (("colour", 46), ("kind", 140))
    }
    columns["price"] = [n % 5000 for n in range(len(items))]  # type: ignore[misc]
    cases = [(share, way) for share in shares for way in WAYS]
    keeps = {case: kept_of(items, direction, *case) for case in cases}
    index = fs.VisualIndex(dim=DIM, ef_search=EFS[0], progress=False)
    index.add_vectors(items, metadata=columns)
    index._engine.settle(600)
    held = [{name: values[n] for name, values in columns.items()} for n in range(len(items))]
    store = index._engine._state.store  # type: ignore[attr-defined]
    where = {"kept": True}
    for share, way in cases:
        kept = keeps[share, way]
        marks = np.zeros(len(items), dtype=np.int32)
        marks[kept] = 1
        store.columns = {**store.columns, "kept": Column([False, True], marks)}  # in no time
        store._kept.clear()
        inside = set(kept.tolist()).__contains__
        scores = queries @ items[kept].T
        truth = kept[np.argpartition(-scores, K - 1, axis=1)[:, :K]]

        def ours(some: Vectors, ef: int, where: dict[str, Any] = where) -> Ids:
            if index.ef_search != ef:
                index.ef_search = ef
            found = index.search_vectors(some, k=K, where=where)
            for row in found.metadata.tolist():
                for item in row:
                    item  # noqa: B018 - read
            return found.ids

        def callback(some: Vectors, ef: int, inside: Callable[[int], bool] = inside) -> Ids:
            raw.set_ef(ef)
            ids = np.asarray(raw.knn_query(some, k=K, num_threads=1, filter=inside)[0]).astype(np.int64)
            for row in ids.tolist():
                for item in row:
                    held[item]
            return ids

        for batch in ("batch", "single"):
            most = len(queries) if share >= 0.01 else FEW
            some = queries[:most] if batch == "batch" else queries[: min(SINGLES, most)]
            row: Row = {"share": share, "way": way, "queries": batch, "kept": len(kept)}
            able = {}
            for name, side in (("ours", ours), ("callback", callback)):
                search = side if batch == "batch" else one_by_one(side)
                judged = min(JUDGED, len(some))
                ef, found, reached = measured(name, search, some[:judged], truth[:judged])
                row |= {f"{name} ef": ef, f"{name} recall": found, f"{name} reaches": reached}
                try:
                    search(some, ef)
                except RuntimeError:
                    row[f"{name} reaches"] = False
                    continue
                able[name] = lambda search=search, ef=ef, some=some: search(some, ef)
            seconds = alternate(able, pairs=rounds, progress=False)
            for name in able:
                row[f"{name} ms"] = median(1000 * np.array(seconds[name]) / len(some)).row()
            if len(able) == 2:
                row["times callback"] = ratio(seconds["callback"], seconds["ours"]).row()
            print(row, flush=True)
            yield row


def qdrant(rounds: int) -> list[Row]:
    """Compare with Qdrant's local mode, on fewer items, because that compares one by one in Python."""
    items, queries = draw(Sizes(items=12_000, queries=100))
    metadata = {"tenth": [n % 10 == 3 for n in range(len(items))]}
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            "ours": fs.VisualIndex(dim=DIM, progress=False),
            "qdrant local": fs.VisualIndex(
                dim=DIM, engine="qdrant", url=f"file:{folder}", collection="items", progress=False
            ),
        }
        found = {}
        for name, index in sides.items():
            began = time.perf_counter()
            index.add_vectors(items, metadata=metadata)
            print(name, "added in", round(time.perf_counter() - began, 1), "s", flush=True)
        chosen = {
            name: lambda index=index: index.search_vectors(queries, k=K, where={"tenth": True})
            for name, index in sides.items()
        }
        for name, search in chosen.items():
            found[name] = search().ids
        seconds = alternate(chosen, pairs=rounds)
        sides["qdrant local"].close()
    return [
        {
            "share": 0.1,
            "way": "random",
            "queries": "100 on 12,000 items",
            "same": recall(found["ours"], found["qdrant local"]),
            **{f"{name} ms": median(1000 * np.array(seconds[name]) / len(queries)).row() for name in sides},
            "times qdrant local": ratio(seconds["qdrant local"], seconds["ours"]).row(),
        }
    ]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    items, queries = draw(Sizes(items=options.items, queries=4000))
    rows: list[Row] = []
    for row in compare(items, queries, options.rounds, options.shares):
        rows.append(row)
        write("filters", rows, folder=options.out, about={"items": options.items})  # it takes hours
    rows += qdrant(min(3, options.rounds))
    write("filters", rows, folder=options.out, about={"items": options.items})


if __name__ == "__main__":
    main()

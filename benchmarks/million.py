"""A million vectors: built with every change on the disk, a tenth removed, opened again, and searched, beside raw libraries.

    python benchmarks/million.py --folder scratch [--items 1000000]

The vectors are drawn as those of `search.py`, 128 numbers long. All graphs have m = 16 and ef_construction = 100. Ours is
an opened index: each call of 10,000 items is a transaction that is on the disk when it returns, with ids and ten columns of
metadata. The others get ids alone and keep nothing on the disk. Queries are in batches of 1,000 on all cores.

- build: seconds to add, the graph included, and to remove a tenth; what memory and disk it takes.
- open: seconds until the folder is open, until a first filtered answer, and until the graph serves, beside those of
  hashing the graph's file and hnswlib's own load.
- speed: queries a second at the smallest ef whose recall@10 is at least 0.95 and 0.99, in alternating rounds; ours with its
  ten columns of metadata, with all of these read, and without any.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import hnswlib
import numpy as np
import usearch.index
from search import DIM, Ids, K, Sizes, Vectors, draw
from timing import alternate, median, ratio, write

import fashionsearch as fs

M, EF_CONSTRUCTION, CALL, ROUNDS = 16, 100, 10_000, 7
EFS = (10, 12, 14, 17, 20, 24, 28, 33, 40, 47, 56, 67, 80, 95, 112, 134, 160, 224, 320)
GOALS = (0.95, 0.99)
Search = Callable[[Vectors, int], Ids]


def metadata(start: int, count: int) -> dict[str, Any]:
    """Return ten columns of a shop's metadata."""
    rng = np.random.default_rng(start)
    words = {"gender": 5, "category": 140, "colour": 46, "season": 4, "usage": 8, "brand": 500, "shop": 50}
    columns: dict[str, Any] = {
        name: [f"{name} {code}" for code in rng.integers(size, size=count)] for name, size in words.items()
    }
    columns["price"] = rng.integers(100, 20_000, size=count).tolist()
    columns["year"] = rng.integers(2008, 2026, size=count).tolist()
    columns["stock"] = (rng.random(count) < 0.8).tolist()
    return columns


def resident() -> dict[str, int]:
    """Return this process's memory in bytes: its own, and what is mapped from files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}
    return {"own": found["RssAnon"], "mapped": found["RssFile"]}


def build(folder: Path, items: Vectors) -> dict[str, Any]:
    """Add all items to an opened index, and remove a tenth."""
    shutil.rmtree(folder, ignore_errors=True)
    began = time.perf_counter()
    index = fs.VisualIndex.open(folder, dim=DIM, m=M, ef_construction=EF_CONSTRUCTION, progress=False)
    for start in range(0, len(items), CALL):
        rows = items[start : start + CALL]
        index.add_vectors(rows, ids=range(start, start + len(rows)), metadata=metadata(start, len(rows)))
    index._engine.settle(3600)
    added = time.perf_counter() - began
    began = time.perf_counter()
    for start in range(0, len(items) // 10, 1000):
        index.remove([10 * number for number in range(start, min(start + 1000, len(items) // 10))])
    removed = time.perf_counter() - began
    began = time.perf_counter()
    index.close()
    closed = time.perf_counter() - began
    disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"add": added, "remove": removed, "close": closed, "memory": resident()["own"], "disk": disk}


def reopen(folder: Path) -> dict[str, Any]:
    """Open the index in this fresh process, and ask it at once."""
    query = np.ones(DIM, dtype=np.float32)
    began = time.perf_counter()
    index = fs.VisualIndex.open(folder, progress=False)
    opened = time.perf_counter() - began
    index.search_vectors(query, k=K, where={"category": "category 7", "price": {"lt": 5000}})
    answered = time.perf_counter() - began
    while not index.has_graph:
        time.sleep(0.005)
    serving = time.perf_counter() - began
    memory = resident()
    (path,) = (folder / "checkpoint" / _current(folder)).glob("graph.hnsw")
    began = time.perf_counter()
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    hashed = time.perf_counter() - began
    began = time.perf_counter()
    hnswlib.Index(space="cosine", dim=DIM).load_index(str(path))
    loaded = time.perf_counter() - began
    return {
        "open": opened,
        "first filtered answer": answered,
        "graph serves": serving,
        "hash": hashed,
        "hnswlib's load": loaded,
        **{f"memory {name}": value for name, value in memory.items()},
    }


def _current(folder: Path) -> str:
    manifest = json.loads((folder / "checkpoint/manifest.json").read_text())
    return str(manifest["generation"])


def raw_hnswlib(items: Vectors) -> tuple[Search, dict[str, float]]:
    """Build with hnswlib by hand."""
    index = hnswlib.Index(space="cosine", dim=DIM)
    began = time.perf_counter()
    index.init_index(max_elements=len(items), M=M, ef_construction=EF_CONSTRUCTION, random_seed=0)
    for start in range(0, len(items), CALL):
        index.add_items(items[start : start + CALL], np.arange(start, min(start + CALL, len(items))))
    added = time.perf_counter() - began
    began = time.perf_counter()
    for number in range(0, len(items), 10):
        index.mark_deleted(number)
    removed = time.perf_counter() - began

    def search(queries: Vectors, ef: int) -> Ids:
        index.set_ef(ef)
        return np.asarray(index.knn_query(queries, k=K)[0])

    return search, {"add": added, "remove": removed}


def raw_faiss(items: Vectors) -> tuple[Search, dict[str, float]]:
    """Build with faiss by hand; what is removed is left out by a selector."""
    index = faiss.IndexHNSWFlat(DIM, M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    began = time.perf_counter()
    for start in range(0, len(items), CALL):
        index.add(items[start : start + CALL])
    added = time.perf_counter() - began
    gone = faiss.IDSelectorBatch(np.arange(0, len(items), 10))
    kept = faiss.IDSelectorNot(gone)

    def search(queries: Vectors, ef: int) -> Ids:
        how = faiss.SearchParametersHNSW(efSearch=ef, sel=kept)
        return np.asarray(index.search(queries, K, params=how)[1])

    search.kept = gone  # type: ignore[attr-defined]  # faiss holds no reference
    return search, {"add": added}


def raw_usearch(items: Vectors) -> tuple[Search, dict[str, float]]:
    """Build with usearch by hand."""
    index = usearch.index.Index(
        ndim=DIM, metric="cos", dtype="f32", connectivity=M, expansion_add=EF_CONSTRUCTION
    )
    began = time.perf_counter()
    for start in range(0, len(items), CALL):
        rows = items[start : start + CALL]
        index.add(np.arange(start, start + len(rows)), rows)
    added = time.perf_counter() - began
    began = time.perf_counter()
    index.remove(np.arange(0, len(items), 10))
    removed = time.perf_counter() - began

    def search(queries: Vectors, ef: int) -> Ids:
        index.expansion_search = ef
        return np.asarray(index.search(queries, K).keys, dtype=np.int64)

    return search, {"add": added, "remove": removed}


def ours(folder: Path, *, read: bool = False) -> Search:
    """Return a search of the opened index, which reads the metadata of all hits or leaves them."""
    index = fs.VisualIndex.open(folder, read_only=True, progress=False)
    while not index.has_graph:
        time.sleep(0.05)

    def search(queries: Vectors, ef: int) -> Ids:
        if index.ef_search != ef:
            index.ef_search = ef
            index.search_vectors(queries[:1], k=K)
            graph = index._engine._state.graph  # type: ignore[attr-defined]
            while graph._unverified:  # rows find themselves at a lower ef only once that has been looked at
                index.search_vectors(queries[:1], k=K)
        found = index.search_vectors(queries, k=K)
        if read:
            found.metadata.tolist()
        return found.ids

    search.index = index  # type: ignore[attr-defined]
    return search


def recall(found: Ids, truth: Ids) -> float:
    """Return recall@10."""
    return float(
        np.mean([len(set(f) & set(t)) / K for f, t in zip(found.tolist(), truth.tolist(), strict=True)])
    )


def speed(contenders: dict[str, Search], queries: Vectors, truth: Ids) -> list[dict[str, Any]]:
    """Compare queries a second at each goal of recall."""
    rows = []
    for goal in GOALS:
        chosen: dict[str, Callable[[], object]] = {}
        reached = {}
        for name, search in contenders.items():
            for ef in EFS:
                found = recall(search(queries, ef), truth)
                if found >= goal:
                    chosen[name] = lambda search=search, ef=ef: search(queries, ef)  # type: ignore[misc]
                    reached[name] = {"ef": ef, "recall": found}
                    break
            print(goal, name, reached.get(name), flush=True)
        seconds = alternate(chosen, pairs=ROUNDS)
        rows += [
            {
                "goal": goal,
                "contender": name,
                **reached[name],
                "qps": median(len(queries) / np.array(seconds[name])).row(),
                "times hnswlib": ratio(seconds["hnswlib"], seconds[name]).row(),
            }
            for name in chosen
        ]
    return rows


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--part", choices=("build", "open"), help="what a process of its own measures")
    options = parser.parse_args()
    folder = options.folder / "index"
    if options.part is not None:
        items = draw(Sizes(items=options.items))[0] if options.part == "build" else None
        print(json.dumps(build(folder, items) if items is not None else reopen(folder)))
        return

    def apart(part: str) -> dict[str, Any]:
        command = [sys.executable, __file__, "--folder", str(options.folder), "--items", str(options.items)]
        done = subprocess.run([*command, "--part", part], check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - this very file
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        print(part, found, flush=True)
        return found

    items, queries = draw(Sizes(items=options.items))
    rows: list[dict[str, Any]] = []
    contenders: dict[str, Search] = {}
    for name, make in {"hnswlib": raw_hnswlib, "faiss": raw_faiss, "usearch": raw_usearch}.items():
        contenders[name], figures = make(items)
        print(name, figures, flush=True)
        rows.append({"part": "build", "contender": name, **figures})
        if name == "hnswlib":
            rows.append({"part": "build", "contender": "fashionsearch", **apart("build")})
            rows += [{"part": "open", "round": number, **apart("open")} for number in range(3)]
    kept = np.setdiff1d(np.arange(len(items)), np.arange(0, len(items), 10))
    truth = np.concatenate(
        [
            kept[np.argpartition(-(queries[start : start + 100] @ items[kept].T), K, axis=1)[:, :K]]
            for start in range(0, len(queries), 100)
        ]
    )
    contenders["fashionsearch"] = ours(folder)
    contenders["fashionsearch, all metadata read"] = ours(folder, read=True)
    bare = ours(folder)
    bare.index._engine._state.store.columns = {}  # type: ignore[attr-defined]
    contenders["fashionsearch without metadata"] = bare
    rows += [{"part": "speed", **row} for row in speed(contenders, queries, truth)]
    write("million", rows, folder=options.out, about={"items": options.items, "removed": options.items // 10})


if __name__ == "__main__":
    main()

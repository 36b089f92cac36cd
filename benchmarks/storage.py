"""What vectors take up in each `storage=`, what that costs, and whether a goal for recall is kept.

    python benchmarks/storage.py

100,000 vectors of 256 numbers, drawn as those of `search.py` and turned into 256 dimensions; an opened index with
engine="faiss", each made in a process of its own and opened in another. Memory is what that has beyond what it had before,
without what is mapped from files, with the graph. Recall@10 is against exact search, at ef_search = 200, on 1,000 queries
that are in no index. `recall=` is asked of the float32 index, and measured on those queries too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from million import resident
from search import Sizes, Vectors, draw
from timing import write

import fashionsearch as fs

DIM, EF, K = 256, 200, 10
STORAGES = ("float32", "float16", "int8", "pca128", "auto")
GOALS = (0.9, 0.95, 0.99)


def turned(rows: Vectors) -> Vectors:
    """Return vectors in 256 dimensions, the distances between them unchanged but for a little noise."""
    rng = np.random.default_rng(3)
    mapping = np.linalg.qr(rng.standard_normal((DIM, rows.shape[1])))[0].T.astype(np.float32)
    noise = np.random.default_rng(len(rows)).standard_normal((len(rows), DIM)).astype(np.float32)
    return rows @ mapping + 0.01 * noise


def build(storage: str, items: int, folder: Path) -> None:
    """Make an index of one kind."""
    vectors = turned(draw(Sizes(items=items))[0])
    with fs.VisualIndex.open(
        folder, dim=DIM, engine="faiss", storage=storage, ef_search=EF, progress=False
    ) as index:
        index.add_vectors(vectors)
        index._engine.settle(3600)


def serving(folder: Path, **options: Any) -> fs.VisualIndex:
    """Return the opened index once its graph serves."""
    index = fs.VisualIndex.open(folder, progress=False, **options)
    while not index.has_graph:
        index._engine.settle(1)
    return index


def measure(storage: str, folder: Path) -> dict[str, Any]:
    """Measure one kind, in a process that has done nothing else: memory that was used before would be used again."""
    queries = turned(draw(Sizes(items=10))[1])
    with (  # what libraries take is no index's
        tempfile.TemporaryDirectory() as other,
        fs.VisualIndex.open(Path(other) / "small", dim=DIM, engine="faiss", progress=False) as small,
    ):
        small.add_vectors(queries)
        small.search_vectors(queries, k=K)
    del small
    before = resident()["own"]
    index = serving(folder)
    found = index.search_vectors(queries, k=K).ids
    memory = resident()["own"] - before
    truth = index.search_vectors(queries, k=K, exact=True).ids
    row: dict[str, Any] = {
        "storage": storage,
        "memory": memory,
        "disk": index._engine.facts().disk,
        "recall": fs.metrics.recall_at_k(found, truth),
        "held as": index._engine._state.graph._index.storage,  # type: ignore[attr-defined]
    }
    index.close()
    if storage == "float32":
        for goal in GOALS:
            with serving(folder, recall=goal) as index:
                found = index.search_vectors(queries, k=K).ids
                row[f"recall={goal}"] = fs.metrics.recall_at_k(found, truth)
    return row


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--one", choices=STORAGES, help="what a process of its own builds or measures")
    parser.add_argument("--build", type=Path, help="the folder to make")
    parser.add_argument("--measure", type=Path, help="the folder to open")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.one, options.measure)))
        return
    if options.build:
        build(options.one, options.items, options.build)
        return
    rows = []
    for storage in STORAGES:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--one", storage, "--items", str(options.items)]
            subprocess.run([*command, "--build", folder], check=True)  # noqa: S603 - this very file
            done = subprocess.run(  # noqa: S603 - this very file
                [*command, "--measure", folder], check=True, stdout=subprocess.PIPE, text=True
            )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    write("storage", rows, folder=options.out, about={"items": options.items, "dim": DIM, "ef_search": EF})


if __name__ == "__main__":
    main()

"""What vectors take up in each `storage=`, what that costs, and whether a goal for recall is kept.

    python benchmarks/storage.py

100,000 vectors of 256 numbers, drawn as those of `search.py` and turned into 256 dimensions; an opened index with
engine="faiss", each in a process of its own. Memory is what the process has beyond what it had before, without what is
mapped from files, with the graph. Recall@10 is against exact search, at ef_search = 200, on 1,000 queries that are in no
index. `recall=` is asked of the float32 index, and measured on those queries too.
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


def one(storage: str, items: int) -> dict[str, Any]:
    """Measure one kind."""
    vectors, queries = (turned(rows) for rows in draw(Sizes(items=items)))
    with tempfile.TemporaryDirectory() as folder:
        with fs.VisualIndex.open(
            folder, dim=DIM, engine="faiss", storage=storage, ef_search=EF, progress=False
        ) as index:
            index.add_vectors(vectors)
            index._engine.settle(3600)
        del vectors, index
        before = resident()["own"]
        index = fs.VisualIndex.open(folder, progress=False)
        while not index.has_graph:
            index._engine.settle(1)
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
                with fs.VisualIndex.open(folder, recall=goal, progress=False) as index:
                    while not index.has_graph:
                        index._engine.settle(1)
                    found = index.search_vectors(queries, k=K).ids
                    row[f"recall={goal}"] = fs.metrics.recall_at_k(found, truth)
    return row


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--one", choices=STORAGES, help="what a process of its own measures")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, options.items)))
        return
    rows = []
    for storage in STORAGES:
        command = [sys.executable, __file__, "--one", storage, "--items", str(options.items)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - this very file
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    write("storage", rows, folder=options.out, about={"items": options.items, "dim": DIM, "ef_search": EF})


if __name__ == "__main__":
    main()

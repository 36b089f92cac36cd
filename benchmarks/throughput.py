"""How many photos a second become vectors, from files, without the embedding cache: ours against other libraries.

Three networks on photos of 60×80, and the fastest of them on larger ones too. All contenders for a network alternate in one
run, with the same weights; the ratio is to timm's eager loop: batches of 32, channels-last, a DataLoader with two workers.
The weights of ResNet-50 and VGG19 are random, which changes no speed; how alike the vectors in lower precision are says
something of Lite0 alone. Each network has a file of its own, written when it is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from options import empty_cache, parser
from peers import (
    BATCH_SIZE,
    WORKERS,
    Fastai,
    Loop,
    gflop,
    machine_gflops,
    timm_transform,
    torchvision_transform,
)
from timing import alternate, median, ratio, write

import fashionsearch as fs
from fashionsearch.encoder import StageSeconds

PEER = "timm"
PRODUCTS, CLOTHING = "products, 60×80", "clothing, up to 256 px"
MODEL_PAIRS = 3
PHOTOS, SAMPLE, LEAST_SAMPLE = (
    192,
    1000,
    40,
)  # for the fastest network: to embed, and to calibrate and optimise on
LABEL = "articleType"  # whose k-NN accuracy counts
MAX_LOSS = 0.005
LOWERED = (("openvino", "bf16"), ("onnx", "int8"), ("openvino", "int8"))


class Network(NamedTuple):
    """One network to measure: its weights, our runtimes, the peers, and the share of the photos, less for slow ones."""

    weights: str | None
    runtimes: tuple[str, ...]
    peers: tuple[str, ...]
    share: float


NETWORKS = {
    "efficientnet_lite0": Network(
        "default", ("torch", "onnx", "openvino", "auto"), (PEER, "torch", "fastai"), 1
    ),
    "resnet50": Network(None, ("onnx", "openvino"), (PEER,), 0.5),
    "vgg19": Network(None, ("onnx", "openvino"), (PEER,), 0.125),
}


class Ours:
    """A backbone of this library, and the files that it embeds."""

    def __init__(self, backbone: fs.Backbone, files: Sequence[Path]) -> None:
        self.backbone, self._files = backbone, files
        self.seconds = StageSeconds()
        self._ready = np.zeros((0, *backbone.preprocess.image_size, 3), np.uint8)

    def embed(self) -> NDArray[np.float32]:
        """Return (n, dim), from the files on, and remember where the time goes."""
        batches = list(self.backbone.embed_batches(self._files))
        stages = zip(*(batch.seconds for batch in batches), strict=True)
        self.seconds = StageSeconds(*(sum(stage) for stage in stages))
        return np.concatenate([batch.vectors for batch in batches])

    def prepare(self, photos: int) -> None:
        """Make so many photos ready for `model`."""
        self._ready = np.stack([self.backbone.preprocess.read(path) for path in self._files[:photos]])

    def model(self) -> None:
        """Run the network alone."""
        self.backbone.embed(self._ready)

    def facts(self) -> dict[str, Any]:
        """Return what ran, what it lost, and where the time of the last round went."""
        fidelity = getattr(self.backbone, "fidelity", None)
        milliseconds = {
            stage: round(1000 * seconds / len(self._files), 3)
            for stage, seconds in self.seconds._asdict().items()
        }
        return {
            "runtime": self.backbone.runtime,
            "precision": self.backbone.precision,
            "image_size": self.backbone.preprocess.image_size,
            **({} if fidelity is None else {"fidelity": asdict(fidelity)}),
            "milliseconds_per_photo": milliseconds,
        }


def makers(
    name: str, files: Sequence[Path], sample: fs.datasets.Table | None
) -> dict[str, Callable[[], Any]]:
    """Return what makes each contender for a network: a peer, a backbone of ours, or what `fs.optimize` returns."""
    network = NETWORKS[name]
    seed = 0 if network.weights is None else None
    backbone = partial(fs.create_backbone, name, weights=network.weights, random_state=seed, progress=False)
    original = backbone(runtime="torch")
    preprocess = original.preprocess
    peers: dict[str, Callable[[], Any]] = {
        PEER: lambda: Loop(original, files, timm_transform(preprocess), torch.channels_last),
        "torch": lambda: Loop(original, files, torchvision_transform(preprocess), torch.contiguous_format),
        "fastai": lambda: Fastai(original, files),
    }
    made = {peer: peers[peer] for peer in network.peers}
    made |= {f"ours {runtime}": partial(backbone, runtime=runtime) for runtime in network.runtimes}
    if sample is None:
        return made
    labels = None if network.weights is None else sample[LABEL]

    def lowered(runtime: str, precision: str) -> fs.Backbone:
        return fs.lower_precision(backbone(runtime=runtime), precision, sample.images, labels)

    made |= {f"ours {' '.join(each)}": partial(lowered, *each) for each in LOWERED}
    if network.weights is not None:
        made["ours optimised"] = lambda: fs.optimize(
            backbone(runtime="auto"), sample.images, labels, max_loss=MAX_LOSS
        )
    return made


def enter(make: Callable[[], Any], files: Sequence[Path]) -> tuple[Any, dict[str, Any]]:
    """Return a contender that has embedded a photo, which may take an export, and the facts for its row."""
    began = time.perf_counter()
    found = make()
    made = getattr(found, "encoder", found)  # what `fs.optimize` returns holds a backbone
    facts: dict[str, Any] = {}
    if made is not found:
        facts = {"fidelity": asdict(found.best.fidelity), "trials": [asdict(trial) for trial in found.trials]}
    if isinstance(made, fs.Backbone):
        made.embed(files[0])
        made = Ours(made, files)
    return made, {"preparation_seconds": round(time.perf_counter() - began, 2), **facts}


def measure(
    name: str, data: str, files: Sequence[Path], made: dict[str, Callable[[], Any]], *, pairs: int
) -> list[dict[str, Any]]:
    """Let all contenders alternate, and then the networks alone; return a row for each, also for those that refuse."""
    common = {"network": name, "weights": NETWORKS[name].weights or "random", "data": data}
    contenders, facts, refused = {}, {}, []
    for contender, make in made.items():
        try:
            contenders[contender], facts[contender] = enter(make, files)
        except fs.errors.FashionSearchError as error:
            refused.append({**common, "contender": contender, "refused": str(error)})
            print(f"{contender} can't compete: {error}", flush=True)
    vectors: dict[str, NDArray[np.float32]] = {}

    def embed(contender: str) -> None:
        vectors[contender] = contenders[contender].embed()

    print(f"{name}, {data}: {len(files)} photos", flush=True)
    seconds = alternate({each: partial(embed, each) for each in contenders}, pairs=pairs)
    ready = max(BATCH_SIZE, len(files) // 4 // BATCH_SIZE * BATCH_SIZE)
    for each in contenders.values():
        each.prepare(ready)
    networks = {contender: each.model for contender, each in contenders.items()}
    alone = alternate(networks, pairs=min(pairs, MODEL_PAIRS), warm_ups=0, progress=False)
    rows = []
    for contender, each in contenders.items():
        rate = ready / float(np.median(alone[contender]))
        row: dict[str, Any] = {
            **common,
            "contender": contender,
            **facts[contender],
            "photos": len(files),
            "seconds": median(seconds[contender]).row(),
            "images_per_second": round(len(files) / float(np.median(seconds[contender])), 2),
            "ratio": ratio(seconds[PEER], seconds[contender]).row(),
            "model_alone_images_per_second": round(rate, 2),
        }
        if isinstance(each, Ours):
            row |= {**each.facts(), "model_alone_gflops": round(rate * gflop(each.backbone), 1)}
        if vectors[contender].shape == vectors[PEER].shape:
            row["mean_cosine_to_timm"] = round(mean_cosine(vectors[contender], vectors[PEER]), 6)
        rows.append(row)
        print(f"  {contender}: {row['images_per_second']} images/s, {row['ratio']['value']}×", flush=True)
    return rows + refused


def mean_cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Return the mean cosine similarity of rows."""
    products = (left.astype(np.float64) * right).sum(axis=1)
    return float((products / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)).mean())


def sampled(table: fs.datasets.Table, count: int) -> fs.datasets.Table:
    """Return so many rows, drawn by chance."""
    return table[np.random.default_rng(0).permutation(len(table))[:count]]


def main() -> None:
    """Run the command line."""
    arguments = parser(__doc__, pairs=5, quick="64 photos and one pair")
    add, several = arguments.add_argument, "may be given several times; default: all"
    add(
        "--clothing", type=Path, help="clothing-dataset-small, whose photos are larger; left out if not given"
    )
    add("--network", action="append", choices=list(NETWORKS), help=several)
    add("--only", action="append", help=f"a contender beside timm, such as 'ours onnx'; {several}")
    options = arguments.parse_args()
    pairs, photos = (1, 64) if options.quick else (options.pairs, PHOTOS)
    products = fs.datasets.load_fashion_products(options.data)
    about = {
        "pairs": pairs,
        "batch_size": BATCH_SIZE,
        "peer_workers": WORKERS,
        "label": LABEL,
        "max_loss": MAX_LOSS,
        "machine_gflops": round(machine_gflops(), 1),
    }
    for name in options.network or NETWORKS:
        share = NETWORKS[name].share
        count = max(BATCH_SIZE, int(photos * share) // BATCH_SIZE * BATCH_SIZE)
        drawn = sampled(products, count + max(LEAST_SAMPLE, int(SAMPLE * share)))
        runs = [(PRODUCTS, drawn[:count], drawn[count:])]
        if options.clothing is not None and share == 1:
            clothing = fs.datasets.load_folder(options.clothing / "train")
            runs.append((CLOTHING, sampled(clothing, count), None))
        rows = []
        for data, chosen, apart in runs:
            files = list(chosen.images)
            with empty_cache():  # exports are part of the preparation
                made = makers(name, files, apart)
                if options.only is not None:
                    made = {each: make for each, make in made.items() if each in (PEER, *options.only)}
                rows += measure(name, data, files, made, pairs=pairs)
        facts = {**about, "confidence": rows[0]["ratio"]["confidence"]}
        write(f"throughput-{name}", rows, folder=options.out, about=facts, quick=options.quick)


if __name__ == "__main__":
    main()

"""How many photos a second become vectors, from files, without the embedding cache: ours against other libraries.

Three networks on photos of 60×80, and the fastest of them on larger ones too. All contenders for a network alternate in one
run, with the same weights; the ratio is to timm's eager loop: batches of 32, channels-last, a DataLoader with two workers.
The weights of ResNet-50 and VGG19 are random, which changes no speed; how alike the vectors in lower precision are says
something of Lite0 alone. Each network has a file of its own, written when it is done.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from fashionsearch.embedding import StageSeconds

PEER = "timm"
PRODUCTS, CLOTHING = "products, 60×80", "clothing, up to 256 px"
MODEL_PAIRS = 3
LEAST_SAMPLE = 40
MAX_LOSS = 0.005
PHOTOS, SAMPLE = 192, 1000  # for the fastest network: to embed, and to calibrate and optimise on
LABEL = "articleType"  # whose k-NN accuracy counts


@dataclass(frozen=True)
class Network:
    """One network to measure.

    Attributes:
        weights: "default", or None for random ones.
        runtimes: of ours; one that makes its choice by itself exports trained networks only.
        peers: names of other libraries' ways.
        share: of the photos, so that slow networks take no longer than fast ones.
        optimised: whether `fs.optimize` looks for a faster encoder.
        larger: whether it is also measured on larger photos, in float32.
    """

    weights: str | None
    runtimes: tuple[str, ...]
    peers: tuple[str, ...]
    share: float
    optimised: bool = False
    larger: bool = False


LOWERED = (("openvino", "bf16"), ("onnx", "int8"), ("openvino", "int8"))
NETWORKS = {
    "efficientnet_lite0": Network(
        weights="default",
        runtimes=("torch", "onnx", "openvino", "auto"),
        peers=(PEER, "torch", "fastai"),
        share=1,
        optimised=True,
        larger=True,
    ),
    "resnet50": Network(weights=None, runtimes=("onnx", "openvino"), peers=(PEER,), share=0.5),
    "vgg19": Network(weights=None, runtimes=("onnx", "openvino"), peers=(PEER,), share=0.125),
}


class Ours:
    """A backbone of this library.

    Args:
        backbone: embeds.
        files: what it embeds.
    """

    def __init__(self, backbone: fs.Backbone, files: Sequence[Path]) -> None:
        self.backbone, self._files = backbone, files
        self.seconds = StageSeconds()
        self._ready = np.zeros((0, *backbone.preprocess.image_size, 3), np.uint8)

    def embed(self) -> NDArray[np.float32]:
        """Return (n, dim), from the files on, and note where the time goes."""
        batches = list(self.backbone.embed_batches(self._files))
        self.seconds = StageSeconds(
            *(sum(stage) for stage in zip(*(batch.seconds for batch in batches), strict=True))
        )
        return np.concatenate([batch.vectors for batch in batches])

    def prepare(self, photos: int) -> None:
        """Make so many photos ready for `model`."""
        self._ready = np.stack([self.backbone.preprocess.read(path) for path in self._files[:photos]])

    def model(self) -> None:
        """Run the network alone."""
        self.backbone.embed(self._ready)


@dataclass
class Field:
    """All that compete with one network on one set of photos.

    Attributes:
        contenders: by name.
        facts: of each contender, for its row.
        refused: rows of those that can't compete, and why.
    """

    contenders: dict[str, Ours | Loop | Fastai] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def enter(self, name: str, make: Callable[[], Any], files: Sequence[Path]) -> None:
        """Add a contender once it has embedded a photo; one that refuses gets a row that says why.

        Args:
            name: of the contender.
            make: makes a peer, a backbone of ours, or what `fs.optimize` returns.
            files: what it will embed; a backbone embeds the first at once, which may take an export.
        """
        began = time.perf_counter()
        try:
            found = make()
            made = getattr(found, "encoder", found)  # what `fs.optimize` returns holds a backbone
            if isinstance(made, fs.Backbone):
                made.embed(files[0])
        except fs.errors.FashionSearchError as error:
            self.refused.append({"contender": name, "refused": str(error)})
            print(f"{name} can't compete: {error}", flush=True)
            return
        self.contenders[name] = Ours(made, files) if isinstance(made, fs.Backbone) else made
        self.facts[name] = {"preparation_seconds": round(time.perf_counter() - began, 2)}
        if made is not found:
            self.facts[name]["fidelity"] = dataclasses.asdict(found.best.fidelity)
            self.facts[name]["trials"] = [dataclasses.asdict(trial) for trial in found.trials]


def competitors(
    name: str,
    files: Sequence[Path],
    *,
    sample: fs.datasets.Table | None,
    only: Sequence[str] | None,
) -> Field:
    """Make all contenders for one network.

    Args:
        name: of the network, one of `NETWORKS`.
        files: what they will embed.
        sample: photos to calibrate lower precision and to optimise on; None is float32 alone.
        only: names of contenders beside the peer; None is all.
    """
    network = NETWORKS[name]

    def backbone(runtime: str) -> fs.Backbone:
        seed = 0 if network.weights is None else None
        return fs.create_backbone(
            name, weights=network.weights, runtime=runtime, random_state=seed, progress=False
        )

    original = backbone("torch")
    preprocess = original.preprocess
    makers: dict[str, Callable[[], Any]] = {
        PEER: lambda: Loop(original, files, timm_transform(preprocess), torch.channels_last),
        "torch": lambda: Loop(original, files, torchvision_transform(preprocess), torch.contiguous_format),
        "fastai": lambda: Fastai(original, files),
    }
    makers = {peer: makers[peer] for peer in network.peers}
    for runtime in network.runtimes:
        makers[f"ours {runtime}"] = lambda runtime=runtime: backbone(runtime)
    if sample is not None:
        makers |= faster(network, backbone, sample, None if network.weights is None else sample[LABEL])
    entered = Field()
    for contender, make in makers.items():
        if only is None or contender in (PEER, *only):
            entered.enter(contender, make, files)
    return entered


def faster(
    network: Network, backbone: Callable[[str], fs.Backbone], sample: fs.datasets.Table, labels: Any
) -> dict[str, Callable[[], Any]]:
    """Return makers of the backbones that are not what they were in float32, by name."""

    def lowered(runtime: str, precision: str) -> fs.Backbone:
        return fs.lower_precision(backbone(runtime), precision, sample.images, labels)

    def optimised() -> Any:
        found = fs.optimize(backbone("auto"), sample.images, labels, max_loss=MAX_LOSS)
        print(found, flush=True)
        return found

    makers: dict[str, Callable[[], Any]] = {
        f"ours {runtime} {precision}": lambda each=(runtime, precision): lowered(*each)
        for runtime, precision in LOWERED
    }
    return makers | ({"ours optimised": optimised} if network.optimised else {})


def measure(
    name: str, data: str, files: Sequence[Path], entered: Field, *, pairs: int
) -> list[dict[str, Any]]:
    """Let all contenders alternate, and then the networks alone; return a row for each contender."""
    contenders = entered.contenders
    vectors: dict[str, NDArray[np.float32]] = {}

    def embed(contender: str) -> None:
        vectors[contender] = contenders[contender].embed()

    def each(action: Callable[[str], None]) -> dict[str, Callable[[], None]]:
        return {contender: lambda contender=contender: action(contender) for contender in contenders}

    print(f"{name}, {data}: {len(files)} photos", flush=True)
    seconds = alternate(each(embed), pairs=pairs)
    ready = max(BATCH_SIZE, len(files) // 4 // BATCH_SIZE * BATCH_SIZE)
    for contender in contenders.values():
        contender.prepare(ready)
    alone = alternate(
        each(lambda contender: contenders[contender].model()),
        pairs=min(pairs, MODEL_PAIRS),
        warm_ups=0,
        progress=False,
    )
    common = {"network": name, "weights": NETWORKS[name].weights or "random", "data": data}
    rows = []
    for contender, made in contenders.items():
        rate = ready / float(np.median(alone[contender]))
        row: dict[str, Any] = {
            **common,
            "contender": contender,
            **entered.facts[contender],
            "photos": len(files),
            "seconds": median(seconds[contender]).row(),
            "images_per_second": round(len(files) / float(np.median(seconds[contender])), 2),
            "ratio": ratio(seconds[PEER], seconds[contender]).row(),
            "model_alone_images_per_second": round(rate, 2),
        }
        if isinstance(made, Ours):
            row |= facts_of_ours(made, len(files))
            row["model_alone_gflops"] = round(rate * gflop(made.backbone), 1)
        if vectors[contender].shape == vectors[PEER].shape:
            row["mean_cosine_to_timm"] = round(mean_cosine(vectors[contender], vectors[PEER]), 6)
        rows.append(row)
        print(f"  {contender}: {row['images_per_second']} images/s, {row['ratio']['value']}×", flush=True)
    return [*rows, *({**common, **row} for row in entered.refused)]


def facts_of_ours(made: Ours, photos: int) -> dict[str, Any]:
    """Return what a row says of our own contenders: what ran, what it lost, and where the time of the last round went."""
    backbone = made.backbone
    fidelity = getattr(backbone, "fidelity", None)
    lost = {} if fidelity is None else {"fidelity": dataclasses.asdict(fidelity)}
    return {
        "runtime": backbone.runtime,
        "precision": backbone.precision,
        "image_size": backbone.preprocess.image_size,
        **lost,
        "milliseconds_per_photo": {
            stage: round(1000 * seconds / photos, 3) for stage, seconds in made.seconds._asdict().items()
        },
    }


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
    add = arguments.add_argument
    add(
        "--clothing", type=Path, help="clothing-dataset-small, whose photos are larger; left out if not given"
    )
    several = "may be given several times; default: all"
    add("--network", action="append", choices=list(NETWORKS), help=several)
    add("--only", action="append", help=f"a contender beside timm, such as 'ours onnx'; {several}")
    options = arguments.parse_args()
    pairs, photos = (1, 64) if options.quick else (options.pairs, PHOTOS)
    products = fs.datasets.load_fashion_products(options.data)
    clothing = None if options.clothing is None else fs.datasets.load_folder(options.clothing / "train")
    about = {
        "pairs": pairs,
        "batch_size": BATCH_SIZE,
        "peer_workers": WORKERS,
        "label": LABEL,
        "max_loss": MAX_LOSS,
        "machine_gflops": round(machine_gflops(), 1),
    }
    with empty_cache():  # exports are part of the preparation
        for name in options.network or NETWORKS:
            share = NETWORKS[name].share
            count = max(BATCH_SIZE, int(photos * share) // BATCH_SIZE * BATCH_SIZE)
            drawn = sampled(products, count + max(LEAST_SAMPLE, int(SAMPLE * share)))
            runs = [(PRODUCTS, drawn[:count], drawn[count:])]
            if clothing is not None and NETWORKS[name].larger:
                runs.append((CLOTHING, sampled(clothing, count), None))
            rows = []
            for data, chosen, apart in runs:
                files = list(chosen.images)
                entered = competitors(name, files, sample=apart, only=options.only)
                rows += measure(name, data, files, entered, pairs=pairs)
            confidence = rows[0]["ratio"]["confidence"]
            facts = {**about, "confidence": confidence}
            write(f"throughput-{name}", rows, folder=options.out, about=facts, quick=options.quick)


if __name__ == "__main__":
    main()

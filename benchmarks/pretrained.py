"""Trains `fashion`, the network that ships in the wheel, and says how it does on photos that it did not learn from.

    python benchmarks/pretrained.py --data ../shared/data --out runs/fashion

A run that was stopped goes on when it is started again. What is chosen is chosen on a tenth of the products' names; the
last 2,000 rows of the catalogue are not looked at here. The folder then holds `fashion.safetensors`, `fashion.onnx` and
`shipped.json`, which belong into src/fashionsearch/pretrained, and the tagger as it was trained.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from shipping import ship

import fashionsearch as fs
from fashionsearch.backbones.embedder import Embedder
from fashionsearch.images import digests
from fashionsearch.tagging.learning import readable_parts
from fashionsearch.tagging.state import State
from fashionsearch.tagging.tagger_fit import Task, fit_frozen

ATTRIBUTES = ("articleType", "subCategory", "masterCategory", "baseColour", "gender", "usage", "season")
CLOTHING = "clothing"  # the classes of clothing-dataset-small, learned beside and not shipped
TEST_FROM = 10_000
# What the classes of clothing-dataset-small are in the catalogue's words: articleType where there is one, and above it.
WORN = {
    "dress": ("Dresses", "Dress", "Apparel"),
    "hat": ("", "Headwear", "Accessories"),
    "longsleeve": ("", "Topwear", "Apparel"),
    "outwear": ("", "Topwear", "Apparel"),
    "pants": ("", "Bottomwear", "Apparel"),
    "shirt": ("Shirts", "Topwear", "Apparel"),
    "shoes": ("", "Shoes", "Footwear"),
    "shorts": ("Shorts", "Bottomwear", "Apparel"),
    "skirt": ("Skirts", "Bottomwear", "Apparel"),
    "t-shirt": ("Tshirts", "Topwear", "Apparel"),
}
# Gentler than "wild", and with more of JPEG, which costs a photo of 60 x 80 pixels most: half the photos keep their ground.
SEEN = fs.Augmentation(
    rotation=15, zoom=0.25, shift=0.08, erase=0.1, background=0.25, light=0.15, blur=0.15, compression=0.4
)
_GALLERY = 10_000
_K = 5


DAMAGED = fs.Augmentation(rotation=0, zoom=0, shift=0, horizontal_flip=False, blur=0.3, compression=0.8)


@dataclass(frozen=True)
class Photos:
    """Paths, and attribute -> labels, "" where unknown."""

    images: list[Any]
    labels: dict[str, np.ndarray[Any, Any]]

    def rows(self, chosen: np.ndarray[Any, Any]) -> Photos:
        """Return some of the photos."""
        places = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return Photos(
            [self.images[place] for place in places],
            {name: values[places] for name, values in self.labels.items()},
        )


def catalogue(data: Path) -> tuple[Photos, np.ndarray[Any, Any]]:
    """Return the 20,896 labelled photos that are not test rows, and their products' names; first those of the gallery."""
    tables = [
        fs.datasets.load_fashion_products(data / "fashion-product-images-small")[:TEST_FROM],
        fs.datasets.load_fashion_products(data / "fashion-product-images-more"),
    ]
    images = [image for table in tables for image in table.images]
    labels = {name: np.concatenate([table[name] for table in tables]) for name in ATTRIBUTES}
    return Photos(images, labels), np.concatenate([table["productDisplayName"] for table in tables])


def validation_rows(names: np.ndarray[Any, Any], seed: int) -> np.ndarray[Any, Any]:
    """Return (n,) bool, the photos of a tenth of the names."""
    unique = np.unique(names)
    chosen = np.random.default_rng(seed).permutation(unique)[: len(unique) // 10]
    return np.isin(names, chosen)


def with_clothing(photos: Photos, data: Path) -> Photos:
    """Return photos with those of clothing-dataset-small's training part behind them, whose kind alone is known."""
    table = fs.datasets.load_folder(data / "clothing-dataset-small" / "train")
    kinds = np.array([WORN[label] for label in table["label"]], dtype=object)
    unknown = np.full(len(table), "", dtype=object)
    known = dict(zip(ATTRIBUTES, kinds.T, strict=False))
    labels = {
        name: np.concatenate([values.astype(object), known.get(name, unknown)])
        for name, values in photos.labels.items()
    }
    labels[CLOTHING] = np.concatenate(
        [np.full(len(photos.images), "", dtype=object), table["label"].astype(object)]
    )
    return Photos([*photos.images, *table.images], labels)


def without_strangers(photos: Photos, learned: Photos) -> Photos:
    """Return photos without the labels that no learned photo has."""
    labels = {
        name: np.where(np.isin(values, learned.labels[name]), values, "")
        for name, values in photos.labels.items()
    }
    return Photos(photos.images, labels)


def precisions(
    queries: np.ndarray[Any, Any],
    gallery: np.ndarray[Any, Any],
    wanted: np.ndarray[Any, Any],
    there: np.ndarray[Any, Any],
) -> np.ndarray[Any, Any]:
    """Return precision@5 of each query, by cosine; a query with nothing relevant counts as 0."""
    nearest = np.argpartition(-(queries @ gallery.T), _K, axis=1)[:, :_K]
    return np.asarray((there[nearest] == wanted[:, None]).mean(axis=1))


def figures(tagger: fs.Tagger, learned: Photos, validation: Photos) -> dict[str, float]:
    """Return accuracies, calibration errors and precision@5 on the validation part."""
    truth = {name: validation.labels[name] for name in ATTRIBUTES}
    found = {}
    for name, evaluation in tagger.evaluate(validation.images, truth).items():
        found[f"{name} accuracy"] = evaluation.accuracy
        found[f"{name} calibration error"] = fs.metrics.calibration_error(
            evaluation.labels, evaluation.probabilities, evaluation.classes
        )
    gallery = learned.rows(np.arange(min(_GALLERY, len(learned.images))))
    queries, there = tagger.embed(validation.images), tagger.embed(gallery.images)
    kinds = [part.labels["articleType"] for part in (validation, gallery)]
    both = [
        np.char.add(np.char.add(kind.astype(str), " "), part.labels["baseColour"].astype(str))
        for kind, part in zip(kinds, (validation, gallery), strict=True)
    ]
    found["precision@5 articleType"] = float(precisions(queries, there, *kinds).mean())
    found["precision@5 articleType and baseColour"] = float(precisions(queries, there, *both).mean())
    return found


def settle(
    tagger: fs.Tagger,
    everything: Photos,
    validation: Photos,
    metric: fs.MetricLearning,
    size: int,
    views: int,
) -> fs.Tagger:
    """Fit the projection and the heads once more, to photos as they are and to damaged ones, on the network that has learned.

    At a larger size than it learned at: that costs little here, and tells more (Touvron et al. 2019, arXiv:1906.06423).
    """
    embedder = cast("Embedder", tagger.backbone_.module)
    preprocess = replace(tagger.backbone_.preprocess, image_size=(size, size))
    network = tagger.backbone_.variant(module=embedder.features.module, preprocess=preprocess)
    held_out = validation.images, without_strangers(validation, everything).labels
    images, targets, apart = readable_parts(everything.images, everything.labels, held_out, "raise")
    weights = {name: np.ones(len(classes), np.float32) for name, classes in targets.classes.items()}
    task = Task(replace(metric, copies=1), weights, tagger.dim, views, 0, hidden=0, augmentation=DAMAGED)
    fit = fit_frozen(network, images, targets, apart, task, progress=True)
    tagger.backbone_, tagger._state = fit.backbone, State.of(fit, tagger.taxonomy_)
    return tagger


def main() -> None:
    """Train, save and evaluate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--out", type=Path, required=True, help="checkpoints, the tagger and its figures go here"
    )
    parser.add_argument("--photos", type=int, help="learn from so many, to choose a recipe")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument(
        "--settled-size",
        type=int,
        default=160,
        help="at which the projection and the heads are fitted at the end",
    )
    parser.add_argument("--settled-weight", type=float, default=0.5, help="of the metric loss at the end")
    parser.add_argument(
        "--settled-distillation", type=float, default=0.5, help="of what was known, at the end"
    )
    parser.add_argument(
        "--settled-views", type=int, default=0, help="damaged copies of each photo, at the end"
    )
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--rate", type=float, default=5e-4, help="of the network below the heads")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--augment", help='such as "wild"; without it what suits the catalogue')
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--distillation", type=float, default=1.0)
    parser.add_argument("--weight", type=float, default=0.5)
    parser.add_argument("--unfreeze", default="upper", help="what learns of the network")
    parser.add_argument("--frozen", action="store_true", help="keep the network as it is, to compare")
    options = parser.parse_args()
    photos, names = catalogue(options.data)
    apart = validation_rows(names, seed=0)
    learned, validation = photos.rows(~apart), photos.rows(apart)
    if options.photos:
        some = np.sort(np.random.default_rng(0).permutation(len(learned.images))[: options.photos])
        learned = learned.rows(some)
    everything = with_clothing(learned, options.data)
    training = fs.FineTuning(
        epochs=options.epochs,
        learning_rate=1e-3,
        backbone_learning_rate=options.rate,
        batch_size=options.batch,
        augment=options.augment or SEEN,
        dropout=0.1,
        label_smoothing=0.1,
        weight_decay=0.02,
        patience=options.epochs,
        unfreeze=options.unfreeze,
    )
    tagger = fs.Tagger(
        "efficientnet_lite0",
        training=None if options.frozen else training,
        image_size=options.size,
        random_state=0,
        metric=fs.MetricLearning(
            attributes={"articleType": 1.0, "articleType+baseColour": 1.0, CLOTHING: 0.5},
            weight=options.weight,
            copies=options.copies,
            distillation=options.distillation,
        ),
    )
    began, cpu = time.perf_counter(), time.process_time()
    if (options.out / "learned").exists():
        tagger = fs.Tagger.load(options.out / "learned")
    else:
        tagger.fit(
            everything.images,
            everything.labels,
            validation=(validation.images, without_strangers(validation, learned).labels),
            checkpoints=None if options.frozen else options.out / "checkpoints",
        )
        tagger.save(options.out / "learned")
    metric = replace(
        cast("fs.MetricLearning", tagger.metric),
        weight=options.settled_weight,
        distillation=options.settled_distillation,
    )
    tagger = settle(tagger, everything, validation, metric, options.settled_size, options.settled_views)
    tagger.save(options.out / "tagger")
    found = {
        "options": {name: str(value) for name, value in vars(options).items()},
        "seconds": round(time.perf_counter() - began),
        "cpu_seconds": round(time.process_time() - cpu),
        "validation": figures(tagger, learned, validation),
    }
    (options.out / "figures.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(json.dumps(found, indent=1))
    seen = [*photos.images, *everything.images[len(learned.images) :]]
    ship(tagger, ATTRIBUTES, digests(seen), found["validation"], options.out)


if __name__ == "__main__":
    main()

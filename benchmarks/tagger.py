"""What a `Tagger` does with a network that stays as it is: how fast it learns, by which loss, and from how few photos.

    python benchmarks/tagger.py --data ../shared/data --only frozen
    python benchmarks/tagger.py --data ../shared/data --only losses
    python benchmarks/tagger.py --data ../shared/data --only classes
    python benchmarks/tagger.py --data ../shared/data --only shop
    python benchmarks/tagger.py --data ../shared/data --only curve

`frozen` and `classes` are measured on rows 10,001 to 12,000, learned from rows 1 to 10,000. `losses` are chosen from, and
so are measured on a tenth of the names of rows 1 to 10,000. `shop` learns from photos of clothing-dataset-small's training
part and is measured on its validation part. `curve` fits projection and heads on the network of `fashion`, whose own are
left away, at several image sizes and from fewer and fewer photos, and is measured on the photos that were its validation
part. Embeddings are kept between runs (FASHIONSEARCH_CACHE).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
from fashion import UNKNOWN, Row, mean, share
from pretrained import ATTRIBUTES, TEST_FROM, Photos, catalogue, precisions, validation_rows
from timing import write

import fashionsearch as fs
from fashionsearch.backbones.embedder import Embedder
from fashionsearch.cache import EmbeddingCache
from fashionsearch.tagging.projection import project
from fashionsearch.tagging.tagger_fit import with_colours

_LOSSES = ("supervised_contrastive", "proxy_anchor", "multi_similarity", "triplet", "arcface")
_NEW, _EACH, _DRAWS, _FEWEST = 10, 5, 3, 10
_SHOP = (50, 100, 200, 500, 1000)
_SIZES, _PHOTOS, _OF_SIZES = (96, 128, 160, 192), (1250, 2500, 5000, 10_000, 20_000), 5000
KIND = "articleType"
Array = np.ndarray[Any, Any]


def rows_of(data: Path) -> tuple[Photos, Photos, Array, Array]:
    """Return rows 1 to 10,000, rows 10,001 to 12,000, and the product names of both."""
    table = fs.datasets.load_fashion_products(data / "fashion-product-images-small")
    parts = table[:TEST_FROM], table[TEST_FROM:]
    learned, test = (Photos(list(part.images), {name: part[name] for name in ATTRIBUTES}) for part in parts)
    names, tested = (part["productDisplayName"] for part in parts)
    return learned, test, names, tested


def kinds(photos: Photos, fields: tuple[str, ...]) -> Array:
    """Return (n,) text, the labels of some attributes together."""
    columns = (photos.labels[field].astype(str) for field in fields)
    return np.array([" ".join(row) for row in zip(*columns, strict=True)])


def embedded(tagger: fs.Tagger, photos: Photos, network: fs.Backbone | None) -> Array:
    """Return embeddings of photos: the network's are kept between taggers, which all have the same (None: the usual)."""
    module = cast("Embedder", tagger.backbone_.module)
    features = with_colours(network or fs.create_backbone("efficientnet_lite0", progress=False))
    with EmbeddingCache() as cache:
        return project(module.projection, features.embed(photos.images, cache=cache))


def searched(
    tagger: fs.Tagger, queries: Photos, gallery: Photos, network: fs.Backbone | None = None
) -> list[Row]:
    """Return precision@5 by kind, and by kind and colour."""
    vectors, there = embedded(tagger, queries, network), embedded(tagger, gallery, network)
    return [
        mean(
            "precision@5 by " + " and ".join(fields),
            precisions(vectors, there, kinds(queries, fields), kinds(gallery, fields)),
        )
        for fields in ((KIND,), (KIND, "baseColour"))
    ]


def said(tagger: fs.Tagger, photos: Photos, network: fs.Backbone | None = None) -> dict[str, Array]:
    """Return the most probable class of each attribute."""
    vectors = embedded(tagger, photos, network)
    heads = tagger._state.heads
    return {
        name: np.asarray(tagger.classes_[name][heads[name].logits(vectors).argmax(axis=1)])
        for name in tagger.attributes_
    }


def tagged(tagger: fs.Tagger, photos: Photos, network: fs.Backbone | None = None) -> list[Row]:
    """Return accuracies of the attributes; a label that was in no learned photo counts as wrong."""
    found = said(tagger, photos, network)
    return [
        share(f"{name} accuracy", (found[name] == photos.labels[name])[photos.labels[name] != ""])
        for name in ATTRIBUTES
    ]


def fitted(photos: Photos, metric: fs.MetricLearning | None = None) -> fs.Tagger:
    """Return a tagger on the frozen network."""
    tagger = fs.Tagger("efficientnet_lite0", random_state=0, metric=metric or fs.MetricLearning())
    return tagger.fit(photos.images, photos.labels)


def frozen(data: Path) -> list[Row]:
    """Measure speed and figures of the default."""
    learned, test, names, tested = rows_of(data)
    new = test.rows(~np.isin(tested, names))
    fs.create_backbone("efficientnet_lite0").embed(learned.images[:1])
    fitted(learned)  # its embeddings are kept
    began, cpu = time.perf_counter(), time.process_time()
    tagger = fitted(learned)
    spent = time.process_time() - cpu
    rows = [
        {"measure": "CPU seconds beyond embedding", "value": spent, "examples": len(learned.images)},
        {
            "measure": "seconds beyond embedding",
            "value": time.perf_counter() - began,
            "examples": len(learned.images),
        },
    ]
    apart = [*tagged(tagger, new), *searched(tagger, new, learned)]
    return [
        *rows,
        *tagged(tagger, test),
        *searched(tagger, test, learned),
        *({**row, "measure": row["measure"] + UNKNOWN} for row in apart),
    ]


def losses(data: Path) -> list[Row]:
    """Compare metric losses, and none, on the validation part."""
    everything, _, names, _ = rows_of(data)
    apart = validation_rows(names, seed=0)
    learned, validation = everything.rows(~apart), everything.rows(apart)
    rows = []
    for loss in ("none", *_LOSSES):
        metric = fs.MetricLearning(weight=0.0) if loss == "none" else fs.MetricLearning(loss=loss)
        tagger = fitted(learned, metric)
        rows += [
            {"loss": loss, **row}
            for row in (*tagged(tagger, validation), *searched(tagger, validation, learned))
        ]
    return rows


def new_classes(learned: Photos, test: Photos, draw: int, new_names: Array) -> dict[str, list[Array]]:
    """Return which photos of ten classes that were added from five photos each are tagged rightly, and of the others.

    Returns:
        "added": (m,) bool for each class, and `UNKNOWN` after it of names in no learned row, where there are such;
        "before" and "after": (n,) bool of the others before the classes were added, and after.
    """
    rng = np.random.default_rng(draw)
    names, counts = np.unique(test.labels[KIND], return_counts=True)
    new = rng.choice(names[counts >= _FEWEST], _NEW, replace=False)
    tagger = fitted(learned.rows(~np.isin(learned.labels[KIND], new)))
    is_new = np.isin(test.labels[KIND], new)

    def right() -> Array:
        return np.asarray(said(tagger, test)[KIND] == test.labels[KIND])

    before = right()
    for name in new:
        few = rng.choice(np.flatnonzero(learned.labels[KIND] == name), _EACH, replace=False)
        tagger.add_class(KIND, name, learned.rows(few).images)
    after = right()
    found = {}
    for suffix, chosen in (("", np.ones_like(is_new)), (UNKNOWN, new_names)):
        each = [after[chosen & (test.labels[KIND] == name)] for name in new]
        found["added" + suffix] = [hits for hits in each if len(hits)]
        found["before" + suffix] = [before[chosen & ~is_new]]
        found["after" + suffix] = [after[chosen & ~is_new]]
    return found


def classes(data: Path) -> list[Row]:
    """Measure `add_class`: three draws of ten classes, each from five photos."""
    learned, test, names, tested = rows_of(data)
    unseen = ~np.isin(tested, names)
    draws = [new_classes(learned, test, draw, unseen) for draw in range(_DRAWS)]
    rows = []
    for suffix in ("", UNKNOWN):
        each = [hits.mean() for draw in draws for hits in draw["added" + suffix]]
        rows.append(mean(f"accuracy on classes added from five photos{suffix}", np.array(each)))
        for when in ("before", "after"):
            hits = [draw[when + suffix][0].mean() for draw in draws]
            rows.append(
                {
                    "measure": f"accuracy on the others {when}{suffix}",
                    "value": float(np.mean(hits)),
                    "examples": _DRAWS,
                }
            )
    return rows


def shop(data: Path) -> list[Row]:
    """Measure how many of a shop's photos a tagger needs, from `fashion` and from the frozen network."""
    train, validation = (
        fs.datasets.load_folder(data / "clothing-dataset-small" / part) for part in ("train", "validation")
    )
    rows = []
    for name in ("fashion", "efficientnet_lite0"):
        for n in _SHOP:
            right = []
            for draw in range(_DRAWS):
                some = np.random.default_rng(draw).permutation(len(train))[:n]
                tagger = fs.Tagger(name, random_state=draw, progress=False)
                part = train[some]
                tagger.fit(part.images, {"kind": part["label"]})
                right.append(tagger.predict(validation.images)["kind"] == validation["label"])
            # Draws share their test photos: the interval is of one draw's number of photos.
            hits = np.mean(right, axis=0)
            rows.append({"encoder": name, "photos": n, **mean("accuracy", hits)})
            print(name, n, f"{hits.mean():.3f}", flush=True)
    return rows


def curve(data: Path) -> list[Row]:
    """Measure what more pixels, and more photos, give the projection and the heads on the network of `fashion`."""
    photos, names = catalogue(data)
    apart = validation_rows(names, seed=0)
    learned, validation = photos.rows(~apart), photos.rows(apart)
    order = np.random.default_rng(0).permutation(len(learned.images))
    own = fs.create_backbone("fashion").preprocess.image_size[0]
    asked = [(size, _OF_SIZES) for size in _SIZES] + [(own, count) for count in _PHOTOS]
    rows = []
    for size, count in dict.fromkeys(asked):
        network = fs.create_backbone("fashion", image_size=size, progress=False)
        some = learned.rows(np.sort(order[:count]))
        tagger = fs.Tagger(network, random_state=0, progress=False).fit(some.images, some.labels)
        about = {"size": size, "photos": len(some.images)}
        rows += [
            {**about, **row}
            for row in (
                *tagged(tagger, validation, network),
                *searched(tagger, validation, some, network),
            )
        ]
        print(about, *(f"{row['measure']} {row['value']:.4f}" for row in rows[-9:]), flush=True)
    return rows


PARTS = {"frozen": frozen, "losses": losses, "classes": classes, "shop": shop, "curve": curve}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", choices=PARTS, required=True)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder (%(default)s)"
    )
    options = parser.parse_args()
    rows = PARTS[options.only](options.data)
    for row in rows:
        about = " ".join(str(row[key]) for key in ("loss", "encoder", "size", "photos") if key in row)
        print(f"{about} {row['measure']}: {row['value']:.4f} of {row['examples']:,}".strip())
    write(f"tagger-{options.only}", rows, folder=options.out, about={})


if __name__ == "__main__":
    main()

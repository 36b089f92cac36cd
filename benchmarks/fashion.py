"""What `fashion`, the network that ships, does on photos that it did not learn from; its model card shows the figures.

    python benchmarks/fashion.py --data ../shared/data

Rows 10,001 to 12,000 of the catalogue are the test part. Queries search rows 1 to 10,000; one with nothing relevant counts as
0. Distorted copies of the first 1,000 test photos search all 12,000. The worn and cluttered photos are the validation part of
clothing-dataset-small. Photos that the network learned from are no queries.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness.distortions import DISTORTIONS, distorted
from harness.figures import calibration_by_chance, calibration_interval
from pretrained import ATTRIBUTES, TEST_FROM, WORN, catalogue, precisions
from timing import write

import fashionsearch as fs
from fashionsearch.pretrained import learned_from

_COPIES = 1000
_SURE = 0.85
UNKNOWN = ", names in no training row"
Row = dict[str, Any]
Array = np.ndarray[Any, Any]


def share(measure: str, hits: Array, **more: object) -> Row:
    """Return a row of a share with its interval."""
    value = hits.mean()
    low, high = fs.metrics.wilson_interval(int(hits.sum()), len(hits))
    return {
        "measure": measure,
        "value": float(value),
        "low": low,
        "high": high,
        "examples": len(hits),
        **more,
    }


def mean(measure: str, values: Array, **more: object) -> Row:
    """Return a row of a mean with its interval."""
    numbers = np.asarray(values, dtype=np.float64)
    low, high = fs.metrics.bootstrap_interval(numbers)
    return {
        "measure": measure,
        "value": float(numbers.mean()),
        "low": low,
        "high": high,
        "examples": len(numbers),
        **more,
    }


def between(measure: str, found: tuple[float, float, float], examples: int) -> Row:
    """Return a row of a figure and the bounds it came with."""
    value, low, high = found
    return {"measure": measure, "value": value, "low": low, "high": high, "examples": examples}


def tags(tagger: fs.Tagger, images: Sequence[Any], table: fs.datasets.Table, unknown: Array) -> list[Row]:
    """Return accuracies, calibration, and what the surest tags of articleType are right in."""
    rows = []
    probabilities = tagger.predict_proba(images)
    for name in ATTRIBUTES:
        classes, truth = tagger.classes_[name], table[name]
        known = truth != ""
        given, labels, new = probabilities[name][known], truth[known], unknown[known]
        right = classes[given.argmax(axis=1)] == labels
        for which, chosen in (("", np.ones_like(new)), (UNKNOWN, new)):
            rows.append(share(f"{name} accuracy{which}", right[chosen]))
            error = calibration_interval(labels[chosen], given[chosen], classes, equal_mass=True)
            chance = calibration_by_chance(given[chosen], classes)
            rows.append(between(f"{name} calibration error{which}", error, int(chosen.sum())))
            rows.append(between(f"{name} calibration error by chance{which}", chance, int(chosen.sum())))
            if name == "articleType":
                order = np.argsort(-given[chosen].max(axis=1), kind="stable")
                surest = right[chosen][order[: int(_SURE * len(order))]]
                rows.append(share(f"articleType accuracy on the surest {_SURE:.0%}{which}", surest))
    return rows


def retrieval(
    queries: Array, vectors: Array, table: fs.datasets.Table, test: fs.datasets.Table, unknown: Array
) -> list[Row]:
    """Return precision@5 by kind, and by kind and colour."""
    rows = []
    for what, fields in (
        ("articleType", ["articleType"]),
        ("articleType and baseColour", ["articleType", "baseColour"]),
    ):
        wanted, there = (
            np.array([" ".join(row) for row in zip(*(part[field] for field in fields), strict=True)])
            for part in (test, table)
        )
        each = precisions(queries, vectors, wanted, there)
        rows.append(mean(f"precision@5 by {what}", each))
        rows.append(mean(f"precision@5 by {what}{UNKNOWN}", each[unknown]))
    return rows


def agreement(test: fs.datasets.Table) -> list[Row]:
    """Return in what share of pairs of one product name the labels agree, which no model can pass."""
    rows = []
    names = test["productDisplayName"]
    for attribute in ATTRIBUTES:
        agree = [
            test[attribute][first] == test[attribute][second]
            for name in np.unique(names)
            for places in [np.flatnonzero(names == name)]
            for index, first in enumerate(places)
            for second in places[index + 1 :]
        ]
        rows.append(share(f"{attribute} agrees in pairs of one product name", np.array(agree)))
    return rows


def clothing(encoder: Any, data: Path, name: str) -> list[Row]:
    """Return precision@5 and a linear head's accuracy on worn and cluttered photos."""
    parts = [
        fs.datasets.load_folder(data / "clothing-dataset-small" / part) for part in ("train", "validation")
    ]
    train, validation = parts
    vectors = [encoder.embed(part.images) for part in parts]
    vectors = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in vectors]
    each = precisions(vectors[1], vectors[0], validation["label"], train["label"])
    head = fs.Classifier(encoder, random_state=0, progress=False).fit(train.images, train["label"])
    right = head.predict(validation.images) == validation["label"]
    return [mean(f"clothing precision@5, {name}", each), share(f"clothing linear head, {name}", right)]


def worn(tagger: fs.Tagger, data: Path) -> list[Row]:
    """Return how often worn and cluttered photos get the tags that the catalogue has words for."""
    table = fs.datasets.load_folder(data / "clothing-dataset-small" / "validation")
    said = tagger.predict(table.images)
    rows = []
    for place, name in enumerate(ATTRIBUTES[:3]):
        truth = np.array([WORN[label][place] for label in table["label"]])
        rows.append(share(f"worn photos, {name} accuracy", (said[name] == truth)[truth != ""]))
    return rows


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder (%(default)s)"
    )
    options = parser.parse_args()
    tagger = fs.Tagger.from_pretrained("fashion", progress=False)
    small = fs.datasets.load_fashion_products(options.data / "fashion-product-images-small")
    everything = tagger.embed(small.images)
    test = small[TEST_FROM:]
    allowed = ~learned_from(tagger, test.images)
    print(
        f"{int((~allowed).sum())} of {len(test):,} test photos are copies of training photos, and are no queries"
    )
    places = TEST_FROM + np.flatnonzero(allowed)
    test = small[places]
    unknown = ~np.isin(test["productDisplayName"], catalogue(options.data)[1])
    rows = [
        *tags(tagger, test.images, test, unknown),
        *retrieval(everything[places], everything[:TEST_FROM], small[:TEST_FROM], test, unknown),
        *agreement(test),
    ]
    copied = places[:_COPIES]
    for name in DISTORTIONS:
        queries = tagger.embed(distorted([small.images[place] for place in copied], name, seed=0))
        found = (queries @ everything.T).argmax(axis=1) == copied
        rows.append(share(f"the same product first, {name}", found))
        rows.append(share(f"the same product first, {name}{UNKNOWN}", found[unknown[:_COPIES]]))
    rows += worn(tagger, options.data)
    rows += clothing(fs.create_backbone("fashion", progress=False), options.data, "fashion")
    rows += clothing(
        fs.create_backbone("efficientnet_lite0", progress=False), options.data, "efficientnet_lite0"
    )
    for row in rows:
        bounds = f" ({row['low']:.4f} – {row['high']:.4f})" if "low" in row else ""
        print(f"{row['measure']}: {row['value']:.4f}{bounds} of {row['examples']:,}")
    about = {"copies of training photos left out": int((~allowed).sum())}
    write("fashion", rows, folder=options.out, about=about)


if __name__ == "__main__":
    main()

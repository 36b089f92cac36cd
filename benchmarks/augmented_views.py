"""Whether augmented views help a head on a frozen network.

The first 5,000 rows, split as in the study, 3,200 / 800 / 1,000. Heads learn from all photos of the training part, or from
so many of each class, drawn anew in each round; the regularisation is chosen by cross-validation among them, and the
validation part measures. The test part is not used. Views and photos are embedded once, into the embedding cache.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from environment import environment
from numpy.typing import NDArray

import fashionsearch as fs

TASKS = (
    ("masterCategory", None),
    ("masterCategory", 10),
    ("articleType", 5),
    ("articleType", 10),
    ("articleType", 20),
)


def few_of_each(
    labels: NDArray[np.str_], each: int | None, classes: NDArray[np.str_], seed: int
) -> NDArray[np.intp]:
    """Return the places of so many photos of each class, at random, or of all."""
    places = [np.flatnonzero(labels == name) for name in classes]
    if each is None:
        return np.sort(np.concatenate(places))
    rng = np.random.default_rng(seed)
    return np.sort(np.concatenate([rng.choice(found, each, replace=False) for found in places]))


def measure(
    table: fs.datasets.Table, label: str, each: int | None, views: int, rounds: int, image_size: int | None
) -> dict[str, object]:
    """Fit heads with and without views, round by round on the same photos, and return their figures."""
    train, validation, _ = table[:5000].split(test=0.2, validation=0.2, seed=42)
    names, counts = np.unique(train[label], return_counts=True)
    # Classes with fewer photos than the largest draw are left out of all of them, so that rows can be compared.
    largest = max(number or 0 for name, number in TASKS if name == label)
    classes = names[(counts >= largest) & (names != "")]
    held_out = validation[np.isin(validation[label], classes)]
    accuracies, losses = [], []
    for seed in range(1 if each is None else rounds):
        part = train[few_of_each(train[label], each, classes, seed)]
        figures = []
        for number in (0, views):
            tagger = fs.Classifier(augmented_views=number, image_size=image_size, random_state=0)
            tagger.fit(part.images, part[label])
            probabilities = tagger.predict_proba(held_out.images)
            places = np.searchsorted(tagger.classes_, held_out[label])
            true = probabilities[np.arange(len(places)), places]
            loss = float(-np.log(np.maximum(true, 1e-12)).mean())
            figures.append((float((probabilities.argmax(axis=1) == places).mean()), loss))
        for found, both in zip((accuracies, losses), zip(*figures, strict=True), strict=True):
            found.append(both)
        print(f"{label} {each or 'all'} round {seed}: {figures}", flush=True)
    return {
        "label": label,
        "photos_of_each_class": each,
        "classes": len(classes),
        "photos": len(part),
        "validation_photos": len(held_out),
        "views": views,
        "rounds": len(accuracies),
        "accuracy": accuracies,
        "log_loss": losses,
        "image_size": image_size or 224,
        "environment": environment(),
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="Fashion Product Images (Small), as Kaggle ships it"
    )
    parser.add_argument("--views", type=int, default=4, help="of each photo (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="draws of few photos (%(default)s)")
    parser.add_argument("--image-size", type=int, help="side in pixels; default: the network's own")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder (%(default)s)"
    )
    options = parser.parse_args()
    table = fs.datasets.load_fashion_products(options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for label, each in TASKS:
        rows.append(measure(table, label, each, options.views, options.rounds, options.image_size))
        path = options.out / f"augmented-views-cpu-{environment()['date']}.json"
        path.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()

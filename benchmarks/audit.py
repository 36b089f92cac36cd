"""Does `fashionsearch.audit` find what is planted: wrong labels, and copies of photos?

    python benchmarks/audit.py --data ../shared/data

The first 12,000 rows of Fashion Product Images (Small), by `efficientnet_lite0` at 224 px as it comes. Of the articleType
labels 5 % are flipped by a seed: half to a sibling, another type of the same subCategory, and half to any other type. The
labels that were wrong before count as right, so no method reaches 1.

- mislabels: average precision of the ranking over all rows (what isn't listed comes last) with a 95 % interval by a
  bootstrap over products, precision among as many as were
  planted; also for siblings alone, beside the rows that were not touched; with products by productDisplayName and without.
- duplicates: 200 photos are copied into files of other names and other metadata, as rows of other products, which are not
  ranked. The truth of the whole table is what has the same pixels, byte by byte, and another product's name.
- CPU seconds of the process after embedding: photos are embedded beforehand, into the cache.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from options import parser
from sklearn.metrics import average_precision_score
from timing import write

import fashionsearch as fs
from fashionsearch.auditing.features import embed, embedder
from fashionsearch.images import read_image

KIND, ABOVE, PRODUCT = "articleType", "subCategory", "productDisplayName"
ROWS, SHARE, COPIES, SEED, RESAMPLES = 12_000, 0.05, 200, 0, 1000

Labels = np.ndarray[Any, Any]


def flipped(table: fs.datasets.Table, seed: int) -> tuple[Labels, Labels, Labels]:
    """Return labels of which 5 % are wrong, which are, (n,) bool, and which of these are siblings, (n,) bool."""
    generator = np.random.default_rng(seed)
    labels, above = table[KIND].copy(), table[ABOVE]
    types = np.unique(labels)
    siblings = {
        each: [other for other in np.unique(labels[above == above[labels == each][0]]) if other != each]
        for each in types
    }
    count = round(SHARE * len(labels))
    have_some = np.flatnonzero([bool(siblings[each]) for each in labels])
    near = generator.choice(have_some, count // 2, replace=False)
    far = generator.choice(np.setdiff1d(np.arange(len(labels)), near), count - count // 2, replace=False)
    wrong = labels.copy()
    for row in near:
        wrong[row] = generator.choice(siblings[labels[row]])
    for row in far:
        wrong[row] = generator.choice(types[types != labels[row]])
    rows = np.arange(len(labels))
    return wrong, np.isin(rows, [*near, *far]), np.isin(rows, near)


def copied(path: Path, folder: Path, number: int) -> Path:
    """Write a photo's file under another name with a comment in it, which changes no pixel, and return where."""
    content, comment = path.read_bytes(), f"copy {number}".encode()
    target = folder / f"listing-{number}.jpg"
    target.write_bytes(
        content[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:]
    )
    return target


def interval(planted: Labels, scores: Labels, products: Labels) -> list[float]:
    """Return the 95 % interval of the average precision, by a bootstrap over products, whose photos go together."""
    generator = np.random.default_rng(SEED)
    _, product = np.unique(products, return_inverse=True)
    found = []
    for _ in range(RESAMPLES):
        weights = np.bincount(generator.integers(product.max() + 1, size=product.max() + 1))
        drawn = np.append(weights, np.zeros(product.max() + 1 - len(weights)))[product]
        found.append(average_precision_score(planted, scores, sample_weight=drawn))
    return [round(float(bound), 4) for bound in np.quantile(found, [0.025, 0.975])]


def ranking(found: fs.Audit, planted: Labels, siblings: Labels, products: Labels) -> dict[str, Any]:
    """Return how the list of mislabels ranks what was planted."""
    listed = [each.row for each in found.mislabels if each.row < len(planted)]
    scores = np.zeros(len(planted))
    scores[listed] = np.arange(len(listed), 0, -1)
    first = listed[: np.count_nonzero(planted)]
    near = siblings | ~planted
    return {
        "average_precision": round(float(average_precision_score(planted, scores)), 4),
        "average_precision_interval": interval(planted, scores, products),
        "precision_at_the_planted_count": round(float(planted[first].mean()), 4),
        "siblings_average_precision": round(float(average_precision_score(siblings[near], scores[near])), 4),
        "listed": len(listed),
        "planted_and_listed": int(np.count_nonzero(planted & (scores > 0))),
    }


def copies_f1(found: fs.Audit, table: fs.datasets.Table) -> dict[str, float]:
    """Return precision, recall and F1 of the rows that repeat an earlier row's pixels under another product's name."""
    seen: dict[tuple[tuple[int, ...], bytes], set[str]] = defaultdict(set)
    truth = set()
    for row, (image, name) in enumerate(zip(table.images, table[PRODUCT].tolist(), strict=True)):
        pixels = read_image(image)
        names = seen[pixels.shape, pixels.tobytes()]
        if names - {name}:
            truth.add(row)
        names.add(name)
    said = {each.row for each in found.duplicates if each.exact}
    right = len(said & truth)
    precision, recall = right / max(1, len(said)), right / max(1, len(truth))
    f1 = 2 * right / max(1, len(said) + len(truth))
    return {"precision": precision, "recall": recall, "f1": f1, "true": len(truth)}


def main() -> None:
    """Run the command line."""
    made = parser(__doc__, data=False, quick="1,000 rows")
    made.add_argument(
        "--data", type=Path, required=True, help="the folder that holds fashion-product-images-small"
    )
    options = made.parse_args()
    rows = 1000 if options.quick else ROWS
    table = fs.datasets.load_fashion_products(options.data / "fashion-product-images-small")[:rows]
    labels, planted, siblings = flipped(table, SEED)
    backbone = fs.create_backbone("efficientnet_lite0")
    measured: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        chosen = np.random.default_rng(SEED).choice(rows, min(COPIES, rows // 10), replace=False).tolist()
        files = [copied(Path(table.images[row]), Path(folder), row) for row in chosen]
        names = [*table[PRODUCT].tolist(), *(f"listing {row}" for row in chosen)]
        data = {KIND: [*labels.tolist(), *labels[chosen].tolist()], PRODUCT: names}
        catalogue = fs.datasets.Table([*table.images, *files], data)
        embed(embedder(backbone, progress=True), list(catalogue.images))
        for name in (PRODUCT, None):
            began = time.process_time()
            found = fs.audit(catalogue, backbone, group=name, attributes=KIND, random_state=SEED)
            seconds = time.process_time() - began
            row = {"products": name, **ranking(found, planted, siblings, table[PRODUCT])}
            row["cpu_seconds_after_embedding"] = round(seconds, 1)
            if name is not None:
                row["exact_duplicates"] = {"planted": len(files), **copies_f1(found, catalogue)}
            measured.append(row)
            print(row, flush=True)
    about = {"photos": rows, "flipped": int(planted.sum()), "seed": SEED}
    write("audit", measured, folder=options.out, about=about, quick=options.quick)


if __name__ == "__main__":
    main()

"""How good the main job is: the tagger on the study's split, and the index on all photos.

Writes one JSON file with the figures, their intervals and the environment. The tagger's regularisation is chosen on the
validation part; the test part is used once.
"""

from __future__ import annotations

import json
import os
import tempfile

import numpy as np
from environment import environment
from options import parser

import fashionsearch as fs

LABEL = "masterCategory"


def measure(table: fs.datasets.Table, backbone_name: str) -> list[dict[str, object]]:
    """Run the main job; return a row for each figure."""
    rows: list[dict[str, object]] = []

    def note(figure: str, value: float, low: float | None = None, high: float | None = None) -> None:
        rows.append({"figure": figure, "value": value, "low": low, "high": high})
        print(f"{figure}: {value:.4f}", flush=True)

    train, validation, test = table[:5000].split(test=0.2, validation=0.2, seed=42)
    tagger = fs.Classifier(backbone_name)
    tagger.fit(train.images, train[LABEL], validation=(validation.images, validation[LABEL]))
    evaluation = tagger.evaluate(test.images, test[LABEL])
    for figure in ("accuracy", "f1", "weighted_f1", "auc", "weighted_auc"):
        note(f"test {figure}", getattr(evaluation, figure), *evaluation.interval(figure))

    index = fs.VisualIndex(tagger)
    with fs.EmbeddingCache() as cache:
        index.add(table.images, ids=table["id"].tolist(), metadata=table.metadata, cache=cache)
    vectors = np.stack([index.get(item).vector for item in index])
    found, truth = index.search_vectors(vectors, k=10), index.search_vectors(vectors, k=10, exact=True)
    note("HNSW recall@10 against exact search", fs.metrics.recall_at_k(found.ids, truth.ids))
    note(
        "share of vectors that find themselves or their equal first",
        float((found.similarities[:, 0] > 1 - 1e-5).mean()),
    )
    queries = table[np.random.default_rng(0).permutation(len(table))[:3000]]
    photos = index.search(queries.images, k=1)
    note(
        "share of 3,000 photo files that find their own id first",
        float((photos.ids[:, 0] == queries["id"]).mean()),
    )
    return rows


def main() -> None:
    """Run the command line."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--backbone", default="efficientnet_lite0", help="any name create_backbone knows (%(default)s)"
    )
    options = arguments.parse_args()
    table = fs.datasets.load_fashion_products(options.data)
    with tempfile.TemporaryDirectory() as cold:
        os.environ["FASHIONSEARCH_CACHE"] = cold
        rows = measure(table, options.backbone)
    content = {
        "question": "main-job",
        "backbone": options.backbone,
        "data": {
            "name": table.name,
            "rows": len(table),
            "split": "first 5,000 rows; test 0.2, validation 0.2, seed 42",
        },
        "environment": environment(),
        "rows": rows,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"main-job-cpu-{environment()['date']}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()

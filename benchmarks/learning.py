"""How well networks learn: the tagger fine-tuned and from scratch, and the autoencoder, on the study's split.

The first 5,000 rows, split 3,200 / 800 / 1,000; the column is masterCategory. The best epoch is chosen on the validation
part; the test part is used once a run, after training. Each run is resumable: the same command goes on from its
checkpoints, and a row is written as soon as it is measured.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from environment import environment
from options import parser
from sklearn.neighbors import KNeighborsClassifier

import fashionsearch as fs

LABEL = "masterCategory"
NEIGHBOURS = 5
FIGURES = ("accuracy", "f1", "weighted_auc")


@dataclass(frozen=True)
class Run:
    """One network to train.

    Attributes:
        model: as the rows call it.
        backbone: a name `create_backbone` knows.
        weights: where it starts.
        image_size: in pixels.
        scorer: how the test part is scored: "finetuned", or "knn" for an autoencoder.
    """

    model: str
    backbone: str
    weights: str | None
    image_size: int
    scorer: str


RUNS = {
    "fine-tuned": Run("efficientnet_lite0", "efficientnet_lite0", "default", 128, "finetuned"),
    "from-scratch": Run("cnn", "cnn", None, 64, "finetuned"),
    "autoencoder": Run("autoencoder-cnn", "cnn", None, 64, "knn"),
}


def measure(run: Run, table: fs.datasets.Table, seed: int, checkpoints: Path) -> list[dict[str, object]]:
    """Train and score one network; return a row for each figure."""
    train, validation, test = table[:5000].split(test=0.2, validation=0.2, seed=42)
    began = time.perf_counter()
    evaluate: Callable[[fs.datasets.Table], fs.Evaluation]
    if run.scorer == "knn":
        encoder = fs.Autoencoder(
            run.backbone, weights=run.weights, image_size=run.image_size, random_state=seed
        )
        encoder.fit(train.images, validation=validation.images, checkpoints=checkpoints)
        model: fs.Autoencoder | fs.Classifier = encoder
        neighbours = KNeighborsClassifier(NEIGHBOURS).fit(encoder.embed(train.images), train[LABEL])

        def evaluate(part: fs.datasets.Table) -> fs.Evaluation:
            shares = neighbours.predict_proba(encoder.embed(part.images))
            return fs.metrics.evaluate(part[LABEL], shares, neighbours.classes_)
    else:
        tagger = fs.Classifier(
            run.backbone,
            weights=run.weights,
            training=fs.FineTuning(),
            image_size=run.image_size,
            random_state=seed,
        )
        held_out = (validation.images, validation[LABEL])
        tagger.fit(train.images, train[LABEL], validation=held_out, checkpoints=checkpoints)
        model = tagger

        def evaluate(part: fs.datasets.Table) -> fs.Evaluation:
            return tagger.evaluate(part.images, part[LABEL])

    seconds, around = sum(model.history_["seconds"]), time.perf_counter() - began
    rows = []
    for split, part in (("validation", validation), ("study-test", test)):
        evaluation = evaluate(part)
        for figure in FIGURES:
            low, high = evaluation.interval(figure)
            rows.append(
                {
                    "task": LABEL,
                    "split": split,
                    "model": run.model,
                    "weights": run.weights,
                    "scorer": run.scorer,
                    "metric": {"f1": "macro_f1"}.get(figure, figure),
                    "value": getattr(evaluation, figure),
                    "low": low,
                    "high": high,
                    "seed": seed,
                    "image_size": run.image_size,
                    "epochs": len(model.history_),
                    "seconds": round(seconds, 1),
                    "seconds_in_this_process": round(around, 1),
                    "environment": environment(),
                }
            )
        print(f"{run.model} {split}: accuracy {evaluation.accuracy:.4f}", flush=True)
    history = [dict(row) for row in model.history_.rows]
    return [*rows, {"task": LABEL, "split": "history", "model": run.model, "seed": seed, "history": history}]


def main() -> None:
    """Run the command line."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--only", action="append", choices=list(RUNS), help="may be given several times; default: all"
    )
    arguments.add_argument("--seed", type=int, default=0, help="of training (%(default)s)")
    arguments.add_argument(
        "--checkpoints", type=Path, default=Path("learning-checkpoints"), help="folder (%(default)s)"
    )
    options = arguments.parse_args()
    table = fs.datasets.load_fashion_products(options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.only or RUNS:
        rows = measure(RUNS[name], table, options.seed, options.checkpoints / f"{name}-{options.seed}")
        path = options.out / f"learning-{name}-{options.seed}-cpu-{environment()['date']}.json"
        path.write_text(json.dumps(rows, indent=1) + "\n")
        print(f"written to {path}", flush=True)


if __name__ == "__main__":
    main()

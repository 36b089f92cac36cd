"""The charts of docs/results/, from the rows and their details: confusion, ROC, precision and recall, training, photos."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from make_figures import save
from matplotlib.figure import Figure

import fashionsearch as fs

LABEL = "masterCategory"
SCORERS = {"head": "linear head", "finetuned": "fine-tuned", "knn": "5 neighbours", "probe": "linear probe"}
STARTS = {None: "scratch", "default": "ImageNet", "distilled": "a teacher"}


def draw(results: Path, images: Path) -> Iterator[Path]:
    """Draw every chart there are rows for; yield the files.

    The confusion matrix, ROC and precision-recall curves are of the contender that did best on the validation part, of those
    whose probabilities are kept; training curves of every network that learned.
    """
    details = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((results / "details").glob("study-*.json"))
    }
    rows = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(results.glob("study-*.json"))
    }
    best = max(
        (stem for stem, kept in details.items() if "probabilities" in kept),
        key=lambda stem: _accuracy(rows[stem]),
    )
    kept = details[best]
    classes = np.array(kept["classes"])
    evaluation = fs.metrics.evaluate(classes[kept["labels"]], kept["probabilities"], classes, min_support=10)
    name = title(kept)
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    yield _saved(
        fs.plots.confusion(evaluation, ax=figure.subplots()), figure, name, images / "study-confusion.png"
    )
    for kind, plot in (("roc", fs.plots.roc), ("precision-recall", fs.plots.precision_recall)):
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        yield _saved(plot(evaluation, ax=figure.subplots()), figure, name, images / f"study-{kind}.png")
    for stem, kept in details.items():
        # An autoencoder's two scorers share a training.
        if kept["history"] and "epoch" in kept["history"][0] and kept["scorer"] != "probe":
            figure = Figure(figsize=(8.4, 3.4))
            fs.plots.training_curves(fs.History(tuple(kept["history"])), figure=figure)
            figure.suptitle(title(kept), fontsize=10)
            path = images / f"{stem}-training.png"
            save(figure, path)
            yield path
    figure = learning_curves(rows)
    save(figure, images / "study-learning-curves.png")
    yield images / "study-learning-curves.png"


def title(fields: dict[str, Any]) -> str:
    """Return what a chart calls a contender."""
    if fields["model"].startswith("baseline-"):
        return str(fields["model"])
    start, scored = STARTS.get(fields["weights"], "a file"), scored_by(fields["weights"], fields["scorer"])
    return f"{fields['model']}, from {start}, {scored}"


def scored_by(weights: str | None, scorer: str) -> str:
    """Return a scorer in words; a network from scratch is trained, and not fine-tuned."""
    return "trained" if scorer == "finetuned" and weights is None else SCORERS[scorer]


def learning_curves(rows: dict[str, list[dict[str, Any]]]) -> Figure:
    """Draw the validation accuracy over the number of photos that were learned from, one panel a label."""
    figure = Figure(figsize=(9.6, 4), layout="constrained")
    for ax, label in zip(figure.subplots(1, 2), (LABEL, "articleType"), strict=True):
        for measured in rows.values():
            points = defaultdict(list)
            for row in measured:
                wanted = row["metric"].startswith("accuracy_with_") or row["metric"] == "accuracy"
                if wanted and (row["task"], row["split"]) == (label, "validation"):
                    points[row["photos"]].append(row["value"])
            if len(points) > 1:
                photos = sorted(points)
                heights = [float(np.mean(points[each])) for each in photos]
                ax.plot(photos, heights, marker="o", markersize=3, linewidth=1.5, label=title(measured[0]))
        ax.set(xscale="log", xlabel="training photos", ylabel="validation accuracy")
        ax.set_title(label, loc="left", fontsize=11, fontweight="bold")
        ax.grid(color="grey", alpha=0.2, linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
        if ax.lines:
            ax.legend(frameon=False, fontsize=7)
    return figure


def _accuracy(rows: list[dict[str, Any]]) -> float:
    values = [
        row["value"]
        for row in rows
        if (row["task"], row["split"], row["metric"]) == (LABEL, "validation", "accuracy")
    ]
    return float(np.mean(values)) if values else 0.0


def _saved(_: object, figure: Figure, name: str, path: Path) -> Path:
    figure.suptitle(name, fontsize=10)
    save(figure, path)
    return path

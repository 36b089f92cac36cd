"""The charts of docs/results/, from the rows and their details: confusion, ROC, precision and recall, training, photos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from make_figures import save
from matplotlib.figure import Figure
from result_rows import Contender, Results, Row, evaluation

import fashionsearch as fs

LABEL = "masterCategory"


def draw(results: Results, images: Path) -> Iterator[Path]:
    """Draw every chart there are rows for, of seed 0; yield the files.

    The confusion matrix, ROC and precision-recall curves are of the contender that did best on the validation part, of those
    whose probabilities are kept; training curves of every network that learned.
    """
    images.mkdir(parents=True, exist_ok=True)
    having = [stem for stem, kept in results.details.items() if "probabilities" in kept]
    if having:
        best = max(having, key=lambda stem: _accuracy(results.rows[stem]))
        kept, name = results.details[best], Contender.of(results.rows[best][0]).title
        evaluated = evaluation(kept, min_support=10)
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        yield _saved(
            fs.plots.confusion(evaluated, ax=figure.subplots()), figure, name, images / "study-confusion.png"
        )
        for kind, plot in (("roc", fs.plots.roc), ("precision-recall", fs.plots.precision_recall)):
            figure = Figure(figsize=(7.2, 4.4), layout="constrained")
            yield _saved(plot(evaluated, ax=figure.subplots()), figure, name, images / f"study-{kind}.png")
    for (name, file), history in trained(results).items():
        figure = Figure(figsize=(8.4, 3.4))
        fs.plots.training_curves(history, figure=figure)
        figure.suptitle(name, fontsize=10)
        save(figure, images / file)
        yield images / file
    save(learning_curves(results.rows), images / "study-learning-curves.png")
    yield images / "study-learning-curves.png"


def trained(results: Results) -> dict[tuple[str, str], fs.History]:
    """Return title and picture's name of every network that learned, with its epochs."""
    return {
        (Contender.of(results.rows[stem][0]).title, f"{stem}-training.png"): fs.History(
            tuple(kept["history"])
        )
        for stem, kept in results.details.items()
        # An autoencoder's two scorers share a training.
        if kept["history"] and "epoch" in kept["history"][0] and kept["scorer"] != "probe"
    }


def learning_curves(rows: dict[str, list[Row]]) -> Figure:
    """Draw the validation accuracy over the number of photos that were learned from, one panel a label."""
    figure = Figure(figsize=(9.6, 5), layout="constrained")
    colours: dict[str, str] = {}
    lines = {}
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
                title = Contender.of(measured[0]).title
                colour = colours.setdefault(title, f"C{len(colours)}")
                (lines[title],) = ax.plot(
                    photos, heights, marker="o", markersize=3, linewidth=1.5, color=colour
                )
        ax.set(xscale="log", xlabel="training photos", ylabel="validation accuracy")
        ax.set_title(label, loc="left", fontsize=11, fontweight="bold")
        ax.grid(color="grey", alpha=0.2, linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    if lines:
        figure.legend(
            lines.values(), lines.keys(), loc="outside lower center", ncols=2, frameon=False, fontsize=8
        )
    return figure


def _accuracy(rows: list[Row]) -> float:
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

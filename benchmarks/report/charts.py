"""The charts of docs/results/, from the rows and their details: confusion, ROC, precision and recall, training, photos."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.candidates import Candidate
from harness.names import STUDY_LABEL
from harness.rows import Row
from matplotlib.figure import Figure
from PIL import Image

import fashionsearch as fs
from report.results import Results, evaluation

MAX_BYTES = 300_000


def save(figure: Figure, path: Path, title: str = "") -> Path:
    """Save a figure as a PNG small enough for the repository."""
    if title:
        figure.suptitle(title, fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100, facecolor="white")
    return reduce(buffer.getvalue(), path)


def reduce(picture: bytes, path: Path) -> Path:
    """Save a PNG with 32 levels a channel, which few will notice; SystemExit if it is still too large."""
    levels = [min(255, round(level / 8) * 8) for level in range(256)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(io.BytesIO(picture)).convert("RGB").point(levels * 3).save(path, optimize=True)
    if path.stat().st_size > MAX_BYTES:
        raise SystemExit(f"{path} has {path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are allowed")
    return path


def draw(results: Results, images: Path) -> Iterator[Path]:
    """Draw every chart there are rows for, of seed 0; yield the files.

    The confusion matrix, ROC and precision-recall curves are of the candidate that did best on the validation part, of those
    whose probabilities are kept; training curves of every network that learned.
    """
    having = [stem for stem, kept in results.details.items() if "probabilities" in kept]
    if having:
        best = max(having, key=lambda stem: _accuracy(results.rows[stem]))
        evaluated = evaluation(results.details[best], min_support=10)
        plots: dict[str, tuple[Any, tuple[float, float]]] = {
            "confusion": (fs.plots.confusion, (5.2, 4.6)),
            "roc": (fs.plots.roc, (7.2, 4.4)),
            "precision-recall": (fs.plots.precision_recall, (7.2, 4.4)),
        }
        for kind, (plot, size) in plots.items():
            figure = Figure(figsize=size, layout="constrained")
            plot(evaluated, ax=figure.subplots())
            yield save(figure, images / f"study-{kind}.png", Candidate.of(results.rows[best][0]).title)
    for (name, file), history in trained(results).items():
        figure = Figure(figsize=(8.4, 3.4))
        fs.plots.training_curves(history, figure=figure)
        yield save(figure, images / file, name)
    yield save(learning_curves(results.rows), images / "study-learning-curves.png")


def trained(results: Results) -> dict[tuple[str, str], fs.History]:
    """Return title and picture's name of every network that learned, with its epochs."""
    return {
        (Candidate.of(results.rows[stem][0]).title, f"{stem}-training.png"): fs.History(
            tuple(kept["history"])
        )
        for stem, kept in results.details.items()
        # An autoencoder's two scorers share a training.
        if kept["history"] and "epoch" in kept["history"][0] and kept["scorer"] != "probe"
    }


def learning_curves(rows: dict[str, list[Row]]) -> Figure:
    """Draw the validation accuracy over the number of photos that were learned from, one panel a label."""
    figure = Figure(figsize=(9.6, 5), layout="constrained")
    lines: dict[str, Any] = {}
    for ax, label in zip(figure.subplots(1, 2), (STUDY_LABEL, "articleType"), strict=True):
        for measured in rows.values():
            points = defaultdict(list)
            for row in measured:
                wanted = row["metric"].startswith("accuracy_with_") or row["metric"] == "accuracy"
                if wanted and (row["task"], row["split"]) == (label, "validation"):
                    points[row["photos"]].append(row["value"])
            if len(points) > 1:
                title, photos = Candidate.of(measured[0]).title, sorted(points)
                colour = lines[title].get_color() if title in lines else f"C{len(lines)}"
                heights = [fmean(points[each]) for each in photos]
                (lines[title],) = ax.plot(photos, heights, "o-", markersize=3, linewidth=1.5, color=colour)
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
    wanted = STUDY_LABEL, "validation", "accuracy"
    values = [row["value"] for row in rows if (row["task"], row["split"], row["metric"]) == wanted]
    return fmean(values) if values else 0.0

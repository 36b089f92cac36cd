"""How predictions compare with labels: the confusion matrix, ROC and precision-recall curves."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fashionsearch.plots.style import expect, finish, new_figure, require, short
from fashionsearch.results import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Petroff's ten (arXiv 2107.02270), chosen to be told apart with any colour vision.
_TEN = "#3f90da #ffa90e #bd1f01 #94a4a2 #832db6 #a96b59 #e76300 #b9ac70 #717581 #92dadd"
_MOST_WRITTEN = 20
_GRID = np.linspace(0, 1, 1001)
# A class's truth and scores -> its figure, and the heights of its curve over _GRID.
_Curve: TypeAlias = Callable[[NDArray[np.bool_], NDArray[np.float64]], tuple[float, NDArray[np.float64]]]


def confusion(evaluation: Evaluation, *, ax: Axes | None = None, normalize: bool = True) -> Axes:
    """Draw the confusion matrix: rows are true classes, columns predicted ones.

    Up to 20 classes the counts stand in the cells; of very many classes only some are named.

    Args:
        evaluation: of c classes.
        ax: where to draw; None makes a new figure.
        normalize: colour by the share of the true class, in [0, 1]; otherwise by the count.

    Returns:
        The axes, whose one image holds the (c, c) shares or counts.

    Raises:
        InputError: if it isn't an `Evaluation`.

    Examples:
        >>> from fashionsearch.metrics import evaluate
        >>> from matplotlib.figure import Figure
        >>> evaluation = evaluate(["a", "b", "b"], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ["a", "b"])
        >>> confusion(evaluation, ax=Figure().subplots()).images[0].get_array().tolist()
        [[1.0, 0.0], [0.5, 0.5]]
    """
    from matplotlib.colors import PowerNorm

    counts = expect(evaluation, Evaluation, "clf.evaluate(images, labels)").confusion
    values = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) if normalize else counts
    written = len(counts) <= _MOST_WRITTEN
    side = min(10.0, 2.6 + 0.36 * len(counts))
    ax = ax or new_figure(None, (side + (0 if written else 0.5), side)).subplots()
    # Most mistakes are a small share of their class: the root lifts them out of the white.
    norm = PowerNorm(0.6, vmin=0, vmax=1 if normalize else max(1, counts.max()))
    image = ax.imshow(values, cmap="Blues", norm=norm, interpolation="nearest")
    if written:
        dark = norm(values) > 0.6
        for row, column in zip(*np.nonzero(counts), strict=True):
            ink = "white" if dark[row, column] else "#1b2a3a"
            ax.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=ink, fontsize=8)
    else:
        bar = ax.figure.colorbar(image, ax=ax, shrink=0.5, pad=0.02)
        bar.set_label("share of the true class" if normalize else "count", fontsize=9)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0, labelsize=8)
    note = f"{evaluation.accuracy:.1%} of {len(evaluation.labels):,} right"
    finish(ax, "Confusion", note, "predicted", "true")
    _class_ticks(ax, [str(label) for label in evaluation.classes], steep=not written)
    return ax


def roc(evaluation: Evaluation, *, ax: Axes | None = None, most: int = 10) -> Axes:
    """Draw one-vs-rest ROC curves with their AUC: the macro average and the largest classes.

    The legend is to the right of the axes; in your own figure, `layout="constrained"` makes room for it.

    Args:
        evaluation: classes it couldn't score are left out, and named in the legend.
        ax: where to draw; None makes a new figure.
        most: how many classes to draw, those with most examples first; at least 0.

    Returns:
        The axes.

    Raises:
        InputError: if it isn't an `Evaluation`, no class can be scored, or `most` is negative.

    Examples:
        >>> from fashionsearch.metrics import evaluate
        >>> from matplotlib.figure import Figure
        >>> evaluation = evaluate(["a", "b", "b"], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ["a", "b"])
        >>> [text.get_text() for text in roc(evaluation, ax=Figure().subplots()).get_legend().get_texts()]
        ['1.000  macro average', '1.000  b', '1.000  a']
    """
    from sklearn.metrics import auc, roc_curve

    def curve(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        false, true, _ = roc_curve(positive, scores)
        # The first point is the origin, where a good class's curve rises straight up.
        return float(auc(false, true)), np.append(0, np.interp(_GRID[1:], false, true))

    ax = _one_vs_rest(ax, evaluation, most, curve, "ROC", "AUC", "false positive rate", "true positive rate")
    ax.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":", zorder=1)
    return ax


def precision_recall(evaluation: Evaluation, *, ax: Axes | None = None, most: int = 10) -> Axes:
    """Draw one-vs-rest precision-recall curves with their average precision, macro and of the largest classes.

    The legend is to the right of the axes; in your own figure, `layout="constrained"` makes room for it.

    Args:
        evaluation: classes it couldn't score are left out, and named in the legend.
        ax: where to draw; None makes a new figure.
        most: how many classes to draw, those with most examples first; at least 0.

    Returns:
        The axes.

    Raises:
        InputError: if it isn't an `Evaluation`, no class can be scored, or `most` is negative.

    Examples:
        >>> from fashionsearch.metrics import evaluate
        >>> from matplotlib.figure import Figure
        >>> evaluation = evaluate(["a", "b", "b"], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ["a", "b"])
        >>> precision_recall(evaluation, ax=Figure().subplots()).get_legend().get_texts()[0].get_text()
        '1.000  macro average'
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    def curve(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        precision, recall, _ = precision_recall_curve(positive, scores)
        # Average precision is the area under steps: straight lines between the points would promise more.
        steps = precision[::-1][np.searchsorted(recall[::-1], _GRID)]
        return float(average_precision_score(positive, scores)), steps

    title, score_name = "Precision and recall", "average precision"
    return _one_vs_rest(ax, evaluation, most, curve, title, score_name, "recall", "precision")


def _class_ticks(ax: Axes, names: Sequence[str], *, steep: bool) -> None:
    box = ax.get_window_extent()
    room = 72 * min(box.width, box.height) / ax.figure.get_dpi()
    places = range(0, len(names), math.ceil(len(names) * 9 / room))
    shown = [short(names[place], 24) for place in places]
    turn: dict[str, Any] = (
        {"rotation": 90} if steep else {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    )
    ax.set_xticks(places, shown, parse_math=False, **turn)
    ax.set_yticks(places, shown, parse_math=False)
    ax.tick_params(labelsize=7 if steep else 8)
    ax.spines[:].set_visible(False)


def _one_vs_rest(
    ax: Axes | None,
    evaluation: Evaluation,
    most: int,
    curve: _Curve,
    title: str,
    score_name: str,
    x: str,
    y: str,
) -> Axes:
    import matplotlib

    rows = expect(evaluation, Evaluation, "clf.evaluate(images, labels)").per_class
    scored = [place for place, row in enumerate(rows) if not math.isnan(row.auc)]
    require(most >= 0, f"most is {most!r}; it is a number of classes, at least 0")
    require(bool(scored), "no class can be scored; evaluate on more examples, of at least two classes")
    truth, shares = evaluation.labels, evaluation.probabilities
    curves = {place: curve(truth == evaluation.classes[place], shares[:, place]) for place in scored}
    ax = ax or new_figure(None, (7.2, 4.8)).subplots()
    # The score comes first: numbers align, and matplotlib hides labels that begin with an underscore.
    mean = f"{np.mean([score for score, _ in curves.values()]):.3f}  macro average"
    average = np.mean([heights for _, heights in curves.values()], axis=0)
    ax.plot(_GRID, average, color=matplotlib.rcParams["text.color"], linewidth=2.4, zorder=3, label=mean)
    for rank, place in enumerate(sorted(scored, key=lambda place: -rows[place].support)[:most]):
        score, heights = curves[place]
        colour, dashes = _TEN.split()[rank % 10], ("-", "--", "-.", ":")[rank // 10 % 4]
        name = f"{score:.3f}  {short(rows[place].label, 30)}"
        ax.plot(_GRID, heights, color=colour, linestyle=dashes, linewidth=1.3, label=name)
    heading = [score_name, f"{min(most, len(scored))} of {len(scored)} classes, by size"]
    if evaluation.unscored:
        named = f"too few examples: {len(evaluation.unscored)} ({', '.join(evaluation.unscored)})"
        heading += textwrap.wrap(named, 42, max_lines=3, placeholder=" …")
    legend = ax.legend(
        title="\n".join(heading), title_fontsize=8, fontsize=8, frameon=False, alignment="left"
    )
    legend.set_loc("upper left")
    legend.set_bbox_to_anchor((1.0, 1.03))
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    ax.grid(color="grey", alpha=0.2, linewidth=0.6)
    finish(ax, title, "one class against the rest", x, y)
    return ax

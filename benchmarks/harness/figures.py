"""Labels and probabilities, or ranks, to figures with their 95 % intervals: pure functions on arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

import fashionsearch as fs
from fashionsearch.metrics.classification import averages

BINS = 15
MIN_SUPPORT = 10
RANKS = 10

# Evaluation's name -> the row's.
EVALUATED = {
    "accuracy": "accuracy",
    "precision": "macro_precision",
    "recall": "macro_recall",
    "f1": "macro_f1",
    "weighted_precision": "weighted_precision",
    "weighted_recall": "weighted_recall",
    "weighted_f1": "weighted_f1",
    "auc": "auc",
    "weighted_auc": "weighted_auc",
}
STUDY_METRICS = (*EVALUATED.values(), "calibration_error")
HARDER_METRICS = ("accuracy", "macro_f1", "weighted_f1", "calibration_error")
RETRIEVAL_METRICS = ("p_at_1", "p_at_5", "recall_at_1", "recall_at_5", "recall_at_10", "map_at_10")


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        metric: its name in the rows.
        value: a fraction in [0, 1], or NaN where there is nothing to measure.
        low: the lower end of its 95 % interval.
        high: the upper end.
        examples: how many photos it was measured on.
        classes: over how many classes it is an average, or None.
        seeds: of how many trainings it is the mean.
    """

    metric: str
    value: float
    low: float
    high: float
    examples: int = 0
    classes: int | None = None
    seeds: int = 1

    @classmethod
    def over_seeds(cls, rows: Sequence[dict[str, Any]]) -> Figure:
        """Return the means of the values and of the ends of their intervals, of rows that differ in their seed."""
        value, low, high = (
            fmean(math.nan if row[field] is None else row[field] for row in rows)
            for field in ("value", "low", "high")
        )
        return cls(rows[0]["metric"], value, low, high, seeds=len(rows))

    @property
    def height(self) -> float:
        """The value, by which lines are ordered; 0 where there was nothing to measure."""
        return 0.0 if math.isnan(self.value) else self.value

    def __str__(self) -> str:
        if math.isnan(self.value + self.low + self.high):
            return "–"
        return f"{100 * self.value:.1f} ({100 * self.low:.1f} – {100 * self.high:.1f})"


def study_figures(evaluation: fs.Evaluation) -> list[Figure]:
    """Return the study's figures and the calibration error.

    Precision, recall and F1 are averaged over every class in the labels or predictions, as scikit-learn does. The macro AUC
    is over the classes with at least 10 examples, and the weighted AUC over all, where rare ones hardly count.
    """
    given = evaluation.labels, evaluation.probabilities, evaluation.classes
    common, whole = fs.metrics.evaluate(*given, min_support=MIN_SUPPORT), fs.metrics.evaluate(*given)
    figures = []
    for name, metric in EVALUATED.items():
        source = common if name == "auc" else whole
        averaged = len(whole.classes) - (len(source.unscored) if "auc" in name else 0)
        figures.append(_evaluated(source, name, metric, None if name == "accuracy" else averaged))
    return [*figures, calibration(evaluation)]


def harder_figures(evaluation: fs.Evaluation) -> list[Figure]:
    """Return accuracy, macro-F1 over the classes with at least 10 examples, weighted F1 and the calibration error."""
    return [
        *training_figures(evaluation, MIN_SUPPORT),
        _evaluated(evaluation, "weighted_f1", "weighted_f1"),
        calibration(evaluation),
    ]


def training_figures(evaluation: fs.Evaluation, min_support: int) -> list[Figure]:
    """Return what shows overfitting beside the test part: accuracy, and macro-F1 over the classes with enough examples."""
    return [_evaluated(evaluation, "accuracy", "accuracy"), macro_f1(evaluation, min_support)]


def _evaluated(evaluation: fs.Evaluation, name: str, metric: str, classes: int | None = None) -> Figure:
    low, high = evaluation.interval(name)
    return Figure(metric, getattr(evaluation, name), low, high, len(evaluation.labels), classes)


def macro_f1(evaluation: fs.Evaluation, min_support: int) -> Figure:
    """Return macro-F1 over the classes with enough true examples, by the bootstrap of `fs.metrics.evaluate`."""
    counted = evaluation.confusion.sum(axis=1) >= min_support
    value = low = high = math.nan
    if counted.any():
        value, low, high = averages(evaluation.confusion, counted=counted)["f1"]
    return Figure("macro_f1", value, low, high, len(evaluation.labels), int(counted.sum()))


def calibration(evaluation: fs.Evaluation) -> Figure:
    """Return the expected calibration error over 15 bins of equal width, with a bootstrap interval."""
    value, low, high = calibration_interval(evaluation.labels, evaluation.probabilities, evaluation.classes)
    return Figure("calibration_error", value, low, high, examples=len(evaluation.labels))


def calibration_interval(
    labels: npt.NDArray[Any],
    shares: npt.NDArray[np.floating[Any]],
    classes: npt.NDArray[Any],
    *,
    equal_mass: bool = False,
) -> tuple[float, float, float]:
    """Return the expected calibration error over 15 bins, and its bootstrap interval.

    Drawing photos again adds chance, and so error, to every resample: the interval is their spread about their own mean,
    laid around the value.
    """

    def error(rows: npt.NDArray[np.intp]) -> float:
        return fs.metrics.calibration_error(
            labels[rows], shares[rows], classes, bins=BINS, equal_mass=equal_mass
        )

    rng, n = np.random.default_rng(0), len(labels)
    drawn = np.array([error(rng.integers(n, size=n)) for _ in range(500)])
    value = error(np.arange(n))
    low, high = value + np.quantile(drawn - drawn.mean(), [0.025, 0.975])
    return value, max(0.0, float(low)), min(1.0, float(high))


def calibration_by_chance(
    shares: npt.NDArray[np.floating[Any]], classes: npt.NDArray[Any]
) -> tuple[float, float, float]:
    """Return the calibration error over 15 bins of equal mass of a network whose confidences are exactly right.

    Of each photo it is drawn 500 times whether its most probable class is right: so many photos show the mean of the errors,
    and in 95 % of the draws one between the bounds.
    """
    rng, confidence = np.random.default_rng(0), shares.max(axis=1)
    said = classes[shares.argmax(axis=1)]
    drawn = [
        fs.metrics.calibration_error(
            np.where(rng.random(len(said)) < confidence, said, ""),  # "" is no class, and so wrong
            shares,
            classes,
            bins=BINS,
            equal_mass=True,
        )
        for _ in range(500)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.mean(drawn)), float(low), float(high)


def retrieval_figures(relevant: npt.NDArray[np.bool_], available: npt.NDArray[np.int64]) -> list[Figure]:
    """Return P@1, P@5, recall@1, @5, @10 and mAP@10 of ranked photos.

    Recall@k is that of metric learning: the share of queries with at least one relevant photo among the first k.

    Args:
        relevant: (n, 10) whether each match is relevant, nearest first.
        available: (n,) how many relevant photos there are; queries with none are left out.
    """
    hits, total = relevant[available > 0], available[available > 0]

    def mean(metric: str, values: npt.NDArray[np.floating]) -> Figure:
        low, high = fs.metrics.bootstrap_interval(values)
        return Figure(metric, float(values.mean()), low, high, len(hits))

    return [
        share("p_at_1", hits[:, 0]),
        mean("p_at_5", hits[:, :5].mean(axis=1)),
        *(share(f"recall_at_{k}", np.asarray(hits[:, :k].any(axis=1))) for k in (1, 5, 10)),
        mean("map_at_10", fs.metrics.average_precision_at_k(hits, total)),
    ]


def share(metric: str, hits: npt.NDArray[np.bool_]) -> Figure:
    """Return the share of hits, with its Wilson interval."""
    low, high = fs.metrics.wilson_interval(int(hits.sum()), len(hits))
    return Figure(metric, float(hits.mean()), low, high, len(hits))

"""Labels and probabilities, or ranks, to figures with their 95 % intervals: pure functions on arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import fashionsearch as fs

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
    """

    metric: str
    value: float
    low: float
    high: float
    examples: int
    classes: int | None = None


def study_figures(evaluation: fs.Evaluation) -> list[Figure]:
    """Return the study's figures and the calibration error.

    Precision, recall and F1 are averaged over every class in the labels or predictions, as scikit-learn does. The macro AUC
    is over the classes with at least 10 examples, and the weighted AUC over all, where rare ones hardly count.

    Args:
        evaluation: of any `min_support`.
    """
    labels, shares, classes = evaluation.labels, evaluation.probabilities, evaluation.classes
    common = fs.metrics.evaluate(labels, shares, classes, min_support=MIN_SUPPORT)
    whole = fs.metrics.evaluate(labels, shares, classes)
    figures = []
    for name, metric in EVALUATED.items():
        source = common if name == "auc" else whole
        averaged = len(classes) - (len(source.unscored) if "auc" in name else 0)
        figures.append(
            Figure(
                metric,
                getattr(source, name),
                *source.interval(name),
                examples=len(labels),
                classes=None if name == "accuracy" else averaged,
            )
        )
    return [*figures, calibration(evaluation)]


def harder_figures(evaluation: fs.Evaluation) -> list[Figure]:
    """Return accuracy, macro-F1 over the classes with at least 10 examples, weighted F1 and the calibration error."""
    n, common = len(evaluation.labels), int((evaluation.confusion.sum(axis=1) >= MIN_SUPPORT).sum())
    return [
        Figure("accuracy", evaluation.accuracy, *evaluation.interval("accuracy"), examples=n),
        Figure("macro_f1", *macro_f1(evaluation.confusion, MIN_SUPPORT), examples=n, classes=common),
        Figure("weighted_f1", evaluation.weighted_f1, *evaluation.interval("weighted_f1"), examples=n),
        calibration(evaluation),
    ]


def training_figures(evaluation: fs.Evaluation, min_support: int) -> list[Figure]:
    """Return what is compared with the test part to see overfitting: accuracy and macro-F1.

    Args:
        evaluation: of the training photos.
        min_support: classes with fewer training photos don't count in macro-F1.
    """
    return [
        Figure(
            "accuracy",
            evaluation.accuracy,
            *evaluation.interval("accuracy"),
            examples=len(evaluation.labels),
        ),
        Figure(
            "macro_f1",
            *macro_f1(evaluation.confusion, min_support),
            examples=len(evaluation.labels),
            classes=int((evaluation.confusion.sum(axis=1) >= min_support).sum()),
        ),
    ]


def macro_f1(
    confusion: npt.NDArray[np.int64], min_support: int, *, random_state: int = 0, resamples: int = 2000
) -> tuple[float, float, float]:
    """Return macro-F1 over the classes with enough true examples, and its bootstrap interval.

    A class of which a resample has no example keeps its own F1 there.

    Args:
        confusion: (c, c), rows are true classes and columns predicted ones.
        min_support: how many true examples a class needs to count.
        random_state: of the bootstrap.
        resamples: of the photos.
    """
    common = confusion.sum(axis=1) >= min_support
    if not common.any():
        return np.nan, np.nan, np.nan
    cells = np.flatnonzero(confusion)
    counts = confusion.ravel()[cells]
    # Resampling photos equals drawing the occupied cells of the matrix from a multinomial.
    draws = np.random.default_rng(random_state).multinomial(
        counts.sum(), counts / counts.sum(), size=resamples
    )
    rows, columns = np.divmod(cells, len(confusion))
    measured = np.concatenate([counts[None], draws]).astype(np.float64)
    each = np.eye(len(confusion))
    true, predicted = measured @ each[rows], measured @ each[columns]
    hits = measured @ (each[rows] * (rows == columns)[:, None])
    both = true + predicted
    f1 = np.divide(2 * hits, both, out=np.zeros_like(both), where=both > 0)
    f1 = np.where(true > 0, f1, f1[0])[:, common].mean(axis=1)
    low, high = np.quantile(f1[1:], [0.025, 0.975])
    return float(f1[0]), float(low), float(high)


def calibration(evaluation: fs.Evaluation) -> Figure:
    """Return the expected calibration error over 15 bins, with a bootstrap interval.

    Drawing photos again adds chance, and so error, to every resample: the interval is their spread about their own mean,
    laid around the value.
    """
    labels, shares, classes = evaluation.labels, evaluation.probabilities, evaluation.classes

    def error(rows: npt.NDArray[np.intp]) -> float:
        return fs.metrics.calibration_error(labels[rows], shares[rows], classes, bins=BINS)

    rng = np.random.default_rng(0)
    n = len(labels)
    drawn = np.array([error(rng.integers(n, size=n)) for _ in range(500)])
    value = error(np.arange(n))
    low, high = value + np.quantile(drawn - drawn.mean(), [0.025, 0.975])
    return Figure("calibration_error", value, max(0.0, float(low)), min(1.0, float(high)), examples=n)


def retrieval_figures(relevant: npt.NDArray[np.bool_], available: npt.NDArray[np.int64]) -> list[Figure]:
    """Return P@1, P@5, recall@1, @5, @10 and mAP@10 of ranked photos.

    Recall@k is that of metric learning: the share of queries with at least one relevant photo among the first k.

    Args:
        relevant: (n, 10) whether each match is relevant, nearest first.
        available: (n,) how many relevant photos there are; queries with none are left out.
    """
    hits, total = relevant[available > 0], available[available > 0]
    n = len(hits)

    def mean(metric: str, values: npt.NDArray[np.floating]) -> Figure:
        return Figure(metric, float(values.mean()), *fs.metrics.bootstrap_interval(values), examples=n)

    return [
        share("p_at_1", hits[:, 0]),
        mean("p_at_5", hits[:, :5].mean(axis=1)),
        *(share(f"recall_at_{k}", np.asarray(hits[:, :k].any(axis=1))) for k in (1, 5, 10)),
        mean("map_at_10", fs.metrics.average_precision_at_k(hits, total)),
    ]


def share(metric: str, hits: npt.NDArray[np.bool_]) -> Figure:
    """Return the share of hits, with its Wilson interval."""
    return Figure(
        metric,
        float(hits.mean()),
        *fs.metrics.wilson_interval(int(hits.sum()), len(hits)),
        examples=len(hits),
    )

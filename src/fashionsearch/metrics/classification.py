"""How good predicted probabilities are: `evaluate`, and their calibration."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashionsearch import errors
from fashionsearch.metrics.intervals import Z, wilson_interval
from fashionsearch.results import ClassRow, Evaluation

_AVERAGES = (
    "precision",
    "recall",
    "f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
)


def evaluate(
    labels: ArrayLike,
    probabilities: ArrayLike,
    classes: ArrayLike,
    *,
    min_support: int = 1,
    random_state: int = 0,
) -> Evaluation:
    """Compare predicted probabilities with labels.

    Args:
        labels: (n,) true classes; a class that isn't in `classes` counts as an error and is reported.
        probabilities: (n, c) one column for each of `classes`.
        classes: (c,) the classes the classifier knows.
        min_support: classes with fewer true examples get no AUC and are named in `unscored`.
        random_state: of the bootstrap behind the intervals.

    Returns:
        An `Evaluation`.

    Raises:
        InputError: if shapes don't fit, there is nothing to evaluate, or a probability isn't finite.

    Examples:
        >>> evaluation = evaluate(["a", "b", "b"], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ["a", "b"])
        >>> round(evaluation.accuracy, 3), evaluation.auc
        (0.667, 1.0)
    """
    from sklearn.metrics import precision_recall_fscore_support

    truth, known = np.asarray(labels), np.asarray(classes)
    everything = _all_classes(truth, known)
    scores = _numbers(probabilities)
    if scores.shape != (len(truth), len(known)):
        raise errors.InputError(
            f"probabilities have shape {scores.shape}, and {len(truth)} labels of {len(known)} classes need "
            f"{(len(truth), len(known))}"
        )
    if not len(truth):
        raise errors.InputError("there are no labels; give at least one image with its label")
    if not np.isfinite(scores).all():
        raise errors.InputError("probabilities hold NaN or infinity; the classifier's weights are damaged")
    wide = np.zeros((len(truth), len(everything)))
    wide[:, np.searchsorted(everything, known)] = scores
    predictions = known[scores.argmax(axis=1)]
    cells = np.searchsorted(everything, truth) * len(everything) + np.searchsorted(everything, predictions)
    confusion = (
        np.bincount(cells, minlength=len(everything) ** 2).reshape(len(everything), -1).astype(np.int64)
    )
    by_class = precision_recall_fscore_support(truth, predictions, labels=everything, zero_division=0)
    aucs, influence = _one_vs_rest(truth, wide, everything, min_support)
    support = by_class[3].astype(np.float64)
    averaged = averages(confusion, random_state=random_state)
    macro_auc, macro_ends = _mean_auc(aucs, influence, (~np.isnan(aucs)).astype(np.float64))
    weighted_auc, weighted_ends = _mean_auc(aucs, influence, np.where(np.isnan(aucs), 0, support))
    accuracy = float((predictions == truth).mean())
    intervals = {
        "accuracy": wilson_interval(int((predictions == truth).sum()), len(truth)),
        **{name: (low, high) for name, (_, low, high) in averaged.items()},
        "auc": macro_ends,
        "weighted_auc": weighted_ends,
    }
    return Evaluation(
        classes=everything,
        labels=truth,
        predictions=predictions,
        probabilities=wide,
        accuracy=accuracy,
        **{name: averaged[name][0] for name in _AVERAGES},
        auc=macro_auc,
        weighted_auc=weighted_auc,
        confusion=confusion,
        per_class=tuple(
            ClassRow(
                str(label),
                precision=float(by_class[0][i]),
                recall=float(by_class[1][i]),
                f1=float(by_class[2][i]),
                auc=float(aucs[i]),
                support=int(support[i]),
            )
            for i, label in enumerate(everything)
        ),
        unscored=tuple(str(label) for label, auc in zip(everything, aucs, strict=True) if np.isnan(auc)),
        intervals=intervals,
    )


def _all_classes(truth: NDArray[Any], known: NDArray[Any]) -> NDArray[Any]:
    if truth.ndim != 1 or known.ndim != 1 or len(np.unique(known)) != len(known) or not len(known):
        raise errors.InputError(
            f"labels have shape {truth.shape} and classes {known.shape}; give (n,) labels and (c,) classes, each once"
        )
    if len({values.dtype.kind in "OUS" for values in (truth, known)}) > 1 and len(truth):
        raise errors.InputError(
            f"labels have dtype {truth.dtype} and classes {known.dtype}; give both as text, or both as numbers"
        )
    try:
        everything = np.union1d(known, truth)
    except TypeError as error:
        raise errors.InputError(f"labels and classes can't be compared: {error}; give all as text") from error
    if everything.dtype.kind == "f" and np.isnan(everything).any():
        raise errors.InputError("labels or classes hold NaN; leave those examples out")
    return everything


def _numbers(probabilities: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.asarray(probabilities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise errors.InputError(f"probabilities are not an (n, c) array of numbers: {error}") from error


def averages(
    confusion: NDArray[np.int64],
    *,
    counted: NDArray[np.bool_] | None = None,
    random_state: int = 0,
    resamples: int = 2000,
) -> dict[str, tuple[float, float, float]]:
    """Return the macro and weighted averages of a confusion matrix, each with the ends of its bootstrap interval.

    Args:
        confusion: (c, c), rows are true classes and columns predicted ones.
        counted: (c,) which classes the macro averages are over; None is those that occur in labels or predictions.
        random_state: of the bootstrap.
        resamples: of the predictions.
    """
    if counted is None:  # scikit-learn's default
        counted = (confusion.sum(axis=0) + confusion.sum(axis=1)) > 0
    # Resampling the n predictions equals drawing the occupied cells from a multinomial, which needs no n × 2,000 table.
    cells = np.flatnonzero(confusion)
    counts = confusion.ravel()[cells]
    rng = np.random.default_rng(random_state)
    collected: dict[str, list[NDArray[np.float64]]] = {name: [] for name in _AVERAGES}
    block = max(1, min(resamples, 2**24 // confusion.size))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = np.zeros((size, confusion.size), dtype=np.int64)
        drawn[:, cells] = rng.multinomial(counts.sum(), counts / counts.sum(), size=size)
        for name, values in _averages(drawn.reshape(size, *confusion.shape), confusion, counted).items():
            collected[name].append(values)
    ends = {name: np.quantile(np.concatenate(values), [0.025, 0.975]) for name, values in collected.items()}
    whole = _averages(confusion[None], confusion, counted)
    return {name: (float(whole[name][0]), float(low), float(high)) for name, (low, high) in ends.items()}


def _averages(
    confusions: NDArray[np.int64], whole: NDArray[np.int64], counted: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """Return macro and weighted averages of (b, c, c) confusion matrices of resamples of a whole (c, c), each (b,).

    A class of which a resample has no example keeps the whole's value there: left out it would make another mean, and it
    can't be right.
    """
    of_whole = _by_class(whole[None])
    true = confusions.sum(axis=2)
    lacking = (true == 0) & (whole.sum(axis=1) > 0)
    result = {}
    for name, values in _by_class(confusions).items():
        result[name] = np.where(lacking, of_whole[name], values)[:, counted].mean(axis=1)
        result[f"weighted_{name}"] = (values * true).sum(axis=1) / true.sum(axis=1)
    return result


def _by_class(confusions: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return precision, recall and F1 of each class of (b, c, c) confusion matrices, each (b, c), 0 where undefined."""
    hits = np.diagonal(confusions, axis1=1, axis2=2).astype(np.float64)
    true, predicted = confusions.sum(axis=2), confusions.sum(axis=1)
    pairs = {"precision": (hits, predicted), "recall": (hits, true), "f1": (2 * hits, true + predicted)}
    return {
        name: np.divide(part, of, out=np.zeros_like(hits), where=of > 0) for name, (part, of) in pairs.items()
    }


def _one_vs_rest(
    truth: NDArray[Any], scores: NDArray[np.float64], classes: NDArray[Any], min_support: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each class's AUC (c,), NaN where it can't be scored, and each example's influence on it (n, c)."""
    from sklearn.metrics import roc_auc_score

    aucs = np.full(len(classes), np.nan)
    influence = np.zeros(scores.shape)
    for column, label in enumerate(classes):
        positive = truth == label
        if positive.sum() < max(1, min_support) or positive.all():
            continue
        aucs[column] = roc_auc_score(positive, scores[:, column])
        influence[:, column] = _auc_influence(positive, scores[:, column], aucs[column])
    return aucs, influence


def _auc_influence(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], auc: float
) -> NDArray[np.float64]:
    # DeLong's placement values: how many of the other side each example is ranked right against.
    ours, others = np.sort(scores[positive]), np.sort(scores[~positive])
    result = np.empty(len(scores))
    above = np.searchsorted(others, scores[positive], "left") + np.searchsorted(
        others, scores[positive], "right"
    )
    below = np.searchsorted(ours, scores[~positive], "left") + np.searchsorted(
        ours, scores[~positive], "right"
    )
    result[positive] = (above / (2 * len(others)) - auc) / (len(ours) / len(scores))
    result[~positive] = (1 - below / (2 * len(ours)) - auc) / (len(others) / len(scores))
    return result


def _mean_auc(
    aucs: NDArray[np.float64], influence: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[float, tuple[float, float]]:
    if not weights.sum():
        return math.nan, (math.nan, math.nan)
    share = weights / weights.sum()
    mean = float(np.nansum(share * aucs))
    half = Z * float(np.std(influence @ share)) / math.sqrt(len(influence))
    return mean, (max(0.0, mean - half), min(1.0, mean + half))


def calibration_error(
    labels: ArrayLike,
    probabilities: ArrayLike,
    classes: ArrayLike,
    *,
    bins: int = 15,
    equal_mass: bool = False,
) -> float:
    """Return the expected calibration error: how far the confidence in a prediction is from how often it is right.

    Predictions are put into bins by the probability of the predicted class; the error is the mean over all predictions
    of the distance between their bin's accuracy and its mean confidence (Naeini et al. 2015; Guo et al. 2017,
    arXiv:1706.04599).

    Args:
        labels: (n,) true classes; one that isn't in `classes` counts as a wrong prediction.
        probabilities: (n, c) one column for each of `classes`.
        classes: (c,) the classes the classifier knows.
        bins: how many, from 1 up.
        equal_mass: each bin holds as many predictions, those of one probability together (Nguyen and O'Connor 2015,
            arXiv:1508.05154); without it each is as wide.

    Returns:
        A fraction in [0, 1]; 0 is calibrated.

    Raises:
        InputError: if shapes don't fit, there is nothing to measure, or a probability isn't in [0, 1].

    Examples:
        >>> round(calibration_error(["a", "b"], [[0.9, 0.1], [0.3, 0.7]], ["a", "b"]), 3)
        0.2
    """
    truth, known, scores = np.asarray(labels), np.asarray(classes), _numbers(probabilities)
    _all_classes(truth, known)
    if not len(truth) or scores.shape != (len(truth), len(known)):
        raise errors.InputError(
            f"probabilities have shape {scores.shape}, and {len(truth)} labels of {len(known)} classes need "
            f"{(len(truth), len(known))}, with at least one label"
        )
    if not ((scores >= 0) & (scores <= 1 + 1e-6)).all():
        raise errors.InputError("probabilities hold a number outside [0, 1]; give what predict_proba returns")
    if bins < 1:
        raise errors.InputError(f"bins={bins!r} is not a whole number from 1 up")
    confidence = scores.max(axis=1)
    gaps = (known[scores.argmax(axis=1)] == truth) - confidence
    if equal_mass:
        places = np.searchsorted(np.sort(confidence), confidence) * bins // len(truth)
    else:  # A bin holds its upper edge, as in the papers.
        places = np.clip(np.ceil(confidence * bins).astype(np.intp) - 1, 0, bins - 1)
    return float(np.abs(np.bincount(places, weights=gaps, minlength=bins)).sum() / len(truth))

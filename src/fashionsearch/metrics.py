"""Pure functions on arrays: how good predictions and rankings are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from fashionsearch import errors
from fashionsearch.results import ClassRow, Evaluation, Fidelity

_Z = 1.959963984540054
_NEIGHBOURS = 10
_VOTERS = 5
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
    averages = _averages(confusion[None])
    macro_auc, macro_ends = _mean_auc(aucs, influence, (~np.isnan(aucs)).astype(np.float64))
    weighted_auc, weighted_ends = _mean_auc(aucs, influence, np.where(np.isnan(aucs), 0, support))
    accuracy = float((predictions == truth).mean())
    intervals = {
        "accuracy": wilson_interval(int((predictions == truth).sum()), len(truth)),
        **_bootstrap(confusion, random_state),
        "auc": macro_ends,
        "weighted_auc": weighted_ends,
    }
    return Evaluation(
        classes=everything,
        labels=truth,
        predictions=predictions,
        probabilities=wide,
        accuracy=accuracy,
        **{name: float(averages[name][0]) for name in _AVERAGES},
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


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson 1927).

    Raises:
        InputError: unless 0 <= hits <= n and n is at least 1.

    Examples:
        >>> low, high = wilson_interval(925, 1000)
        >>> round(low, 3), round(high, 3)
        (0.907, 0.94)
    """
    if not 0 <= hits <= n or n < 1:
        raise errors.InputError(
            f"{hits} hits of {n} are not a proportion; give 0 <= hits <= n with n at least 1"
        )
    share = hits / n
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _averages(confusions: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return macro and weighted averages of (b, c, c) confusion matrices, each (b,)."""
    hits = np.diagonal(confusions, axis1=1, axis2=2).astype(np.float64)
    true, predicted = confusions.sum(axis=2), confusions.sum(axis=1)
    precision = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)
    recall = np.divide(hits, true, out=np.zeros_like(hits), where=true > 0)
    f1 = np.divide(2 * hits, true + predicted, out=np.zeros_like(hits), where=true + predicted > 0)
    present = (
        true + predicted
    ) > 0  # scikit-learn's default: the classes that occur in labels or predictions
    result = {}
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        result[name] = (values * present).sum(axis=1) / present.sum(axis=1)
        result[f"weighted_{name}"] = (values * true).sum(axis=1) / true.sum(axis=1)
    return result


def _bootstrap(
    confusion: NDArray[np.int64], random_state: int, resamples: int = 2000
) -> dict[str, tuple[float, float]]:
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
        for name, values in _averages(drawn.reshape(size, *confusion.shape)).items():
            collected[name].append(values)
    ends = {name: np.quantile(np.concatenate(values), [0.025, 0.975]) for name, values in collected.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def _one_vs_rest(
    truth: NDArray[Any], scores: NDArray[np.float64], classes: NDArray[Any], min_support: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each class's AUC (c,), NaN where it can't be scored, and each example's influence on it (n, c)."""
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
    half = _Z * float(np.std(influence @ share)) / math.sqrt(len(influence))
    return mean, (max(0.0, mean - half), min(1.0, mean + half))


def recall_at_k(
    found: Sequence[Sequence[Any]] | NDArray[Any], expected: Sequence[Sequence[Any]] | NDArray[Any]
) -> float:
    """Return the mean fraction of the expected ids that were found: recall@k of approximate against exact search.

    Args:
        found: (n, k) ids; None is an empty place.
        expected: (n, k') ids that should be there; None is an empty place.

    Returns:
        The mean over the queries that expect anything, in [0, 1].

    Raises:
        InputError: if the numbers of queries differ, or no query expects anything.

    Examples:
        >>> recall_at_k([["a", "b"], ["c", "x"]], [["a", "b"], ["c", "d"]])
        0.75
    """
    if len(found) != len(expected):
        raise errors.InputError(
            f"found has {len(found)} queries and expected has {len(expected)}; give one row each"
        )
    shares = []
    for ours, truth in zip(found, expected, strict=True):
        wanted = {item for item in truth if item is not None}
        if wanted:
            shares.append(len(wanted.intersection(ours)) / len(wanted))
    if not shares:
        raise errors.InputError("no query expects anything, so there is no recall to measure")
    return float(np.mean(shares))


def precision_at_k(matched: ArrayLike, expected: ArrayLike) -> float:
    """Return the mean fraction of matches whose label is the query's: precision@k.

    Args:
        matched: (n, k) labels of the matches, nearest first.
        expected: (n,) labels of the queries.

    Raises:
        InputError: if the shapes don't fit or are empty.

    Examples:
        >>> precision_at_k([["Shirts", "Jeans"], ["Jeans", "Jeans"]], ["Shirts", "Jeans"])
        0.75
    """
    try:
        rows, truth = np.asarray(matched), np.asarray(expected)
    except ValueError as error:
        raise errors.InputError(
            f"matched has rows of different lengths; fill them with None: {error}"
        ) from error
    if rows.ndim != 2 or not rows.size or truth.shape != rows.shape[:1]:
        raise errors.InputError(
            f"matched has shape {rows.shape} and expected {truth.shape}; give (n, k) labels and (n,) labels"
        )
    return float((rows == truth[:, None]).mean())


def fidelity(
    embeddings: NDArray[np.floating], original: NDArray[np.floating], labels: ArrayLike | None = None
) -> Fidelity:
    """Compare a faster encoder's embeddings with those of the one it comes from.

    Args:
        embeddings: (n, dim) of n images, 11 or more.
        original: (n, dim) of the same images by the original encoder.
        labels: (n,) classes, for the accuracy of a 5-nearest-neighbour vote in which no image counts for itself; of
            equal votes the class of the nearer neighbour wins.

    Raises:
        InputError: if the shapes don't fit, or there are too few images.

    Examples:
        >>> import numpy as np
        >>> original = np.random.default_rng(0).normal(size=(50, 8))
        >>> fidelity(original, original).overlap
        1.0
    """
    if embeddings.ndim != 2 or embeddings.shape != original.shape or len(original) <= _NEIGHBOURS:
        raise errors.InputError(
            f"embeddings have shape {embeddings.shape} and the original's {original.shape}; give two of one shape (n, dim), "
            f"n from {_NEIGHBOURS + 1} up"
        )
    near, before = _neighbours(embeddings), _neighbours(original)
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(original, axis=1)
    products = np.einsum("nd,nd->n", embeddings, original, dtype=np.float64)
    cosines = np.divide(products, lengths, out=np.zeros(len(products)), where=lengths > 0)
    accuracies: tuple[float | None, float | None] = (None, None)
    if labels is not None:
        truth = np.asarray(labels)
        if truth.shape != (len(original),):
            raise errors.InputError(
                f"labels have shape {truth.shape} and there are {len(original)} images; give one each"
            )
        accuracies = _voted_accuracy(near, truth), _voted_accuracy(before, truth)
    return Fidelity(
        len(original), float(cosines.mean()), float(cosines.min()), recall_at_k(near, before), *accuracies
    )


def _neighbours(embeddings: NDArray[np.floating]) -> NDArray[np.intp]:
    search = NearestNeighbors(n_neighbors=_NEIGHBOURS, metric="cosine", algorithm="brute").fit(embeddings)
    found: NDArray[np.intp] = search.kneighbors(return_distance=False)  # without a query no row finds itself
    return found


def _voted_accuracy(neighbours: NDArray[np.intp], truth: NDArray[Any]) -> float:
    _, numbered = np.unique(truth, return_inverse=True)
    votes = numbered[neighbours[:, :_VOTERS]]
    same = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
    winners = np.take_along_axis(votes, same.argmax(axis=1)[:, None], axis=1)[:, 0]
    return float((winners == numbered).mean())

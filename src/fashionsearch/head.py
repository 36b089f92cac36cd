"""A linear head on embeddings: multinomial logistic regression, its regularisation chosen by the data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold

from fashionsearch import errors
from fashionsearch.results import History

STRENGTHS = (1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0, 10.0)
_FOLDS = 4
_PATIENCE = 2


@dataclass(frozen=True, eq=False)
class LinearHead:
    """Logits are `embeddings @ weight.T + bias`.

    Attributes:
        weight: (c, dim) float32.
        bias: (c,) float32.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def probabilities(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (n, c) float64, rows adding up to 1."""
        logits = (embeddings @ self.weight.T + self.bias).astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)


def fit_head(
    embeddings: NDArray[np.float32],
    labels: NDArray[np.intp],
    *,
    validation: tuple[NDArray[np.float32], NDArray[np.intp]] | None,
    class_weight: str | Mapping[int, float] | None,
    random_state: int | None,
) -> tuple[LinearHead, History]:
    """Fit a head, with the inverse regularisation strength C that has the least log loss.

    The loss is measured on the validation part, or by 4-fold cross-validation where there is none; C rises from strong
    regularisation to weak, and the search ends once the loss has risen twice. Embeddings are standardised first, and the
    scaling is folded into the head, so the same strengths suit every backbone.

    Args:
        embeddings: (n, dim) float32.
        labels: (n,) class numbers, each of 0 … c − 1 at least once.
        validation: embeddings and class numbers.
        class_weight: as scikit-learn's `LogisticRegression` takes it.
        random_state: of the folds.

    Returns:
        The head, and a history with a row for each C: `C`, `validation_loss`, `validation_accuracy`.
    """
    rows: list[dict[str, float]] = []
    heads: list[LinearHead] = []
    for strength in STRENGTHS:
        if validation is not None:
            head = _fit(embeddings, labels, strength, class_weight)
            loss, accuracy = _score(head.probabilities(validation[0]), validation[1])
            heads.append(head)
        else:
            loss, accuracy = _cross_validate(embeddings, labels, strength, class_weight, random_state)
        rows.append({"C": strength, "validation_loss": loss, "validation_accuracy": accuracy})
        best = min(range(len(rows)), key=lambda i: rows[i]["validation_loss"])
        if len(rows) - 1 - best >= _PATIENCE:
            break
    chosen = heads[best] if heads else _fit(embeddings, labels, STRENGTHS[best], class_weight)
    return chosen, History(tuple(rows))


def _cross_validate(
    embeddings: NDArray[np.float32],
    labels: NDArray[np.intp],
    strength: float,
    class_weight: str | Mapping[int, float] | None,
    random_state: int | None,
) -> tuple[float, float]:
    classes = int(labels.max()) + 1
    folds = min(_FOLDS, len(labels))
    # Stratified folds need every class in each; with rarer classes, plain folds.
    kind = StratifiedKFold if np.bincount(labels).min() >= folds else KFold
    probabilities = np.zeros((len(labels), classes))
    splitter = kind(n_splits=folds, shuffle=True, random_state=0 if random_state is None else random_state)
    for fit_rows, test_rows in splitter.split(embeddings, labels):
        known, numbered = np.unique(labels[fit_rows], return_inverse=True)
        if len(known) < 2:
            probabilities[np.ix_(test_rows, known)] = 1
            continue
        weight = class_weight
        if isinstance(class_weight, Mapping):
            weight = {place: class_weight.get(int(label), 1.0) for place, label in enumerate(known)}
        head = _fit(embeddings[fit_rows], numbered, strength, weight)
        probabilities[np.ix_(test_rows, known)] = head.probabilities(embeddings[test_rows])
    return _score(probabilities, labels)


def _score(probabilities: NDArray[np.float64], labels: NDArray[np.intp]) -> tuple[float, float]:
    true = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(true, 1e-12)).mean()), float((probabilities.argmax(axis=1) == labels).mean())


def _fit(
    embeddings: NDArray[np.float32],
    labels: NDArray[np.intp],
    strength: float,
    class_weight: str | Mapping[int, float] | None,
) -> LinearHead:
    mean, scale = embeddings.mean(axis=0), embeddings.std(axis=0)
    # A feature that never varies (a dead unit) carries nothing, and must not be blown up.
    inverse = np.where(scale > 1e-6 * max(1e-30, float(scale.max())), 1 / np.maximum(scale, 1e-30), 0)
    inverse = inverse.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # weak strengths may stop early; the loss then decides
        model: Any = LogisticRegression(C=strength, max_iter=500, class_weight=class_weight)
        try:
            model.fit((embeddings - mean) * inverse, labels)
        except ValueError as error:
            raise errors.DataError(f"the linear head can't be fitted: {error}") from error
    weight, bias = model.coef_, model.intercept_
    if len(weight) == 1:  # for two classes scikit-learn keeps one row, the logit of the second
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight * inverse
    return LinearHead(
        np.ascontiguousarray(weight, dtype=np.float32), np.ascontiguousarray(bias - weight @ mean, dtype=np.float32)
    )

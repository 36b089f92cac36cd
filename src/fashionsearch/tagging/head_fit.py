"""Fits a linear head: multinomial logistic regression, its regularisation chosen by the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold

from fashionsearch.device import torch_defaults
from fashionsearch.results import History
from fashionsearch.tagging.head import LinearHead, check_finite

STRENGTHS = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0, 10.0)
_FOLDS = 4
_MORE_FOLDS, _FEW = 10, 500  # with few examples each fold counts, and the fits are quick
_ALL_FOLDS_BELOW = 2000
_PATIENCE = 2


def fit_head(
    embeddings: NDArray[np.float32],
    labels: NDArray[np.intp],
    *,
    views: NDArray[np.float32] | None = None,
    validation: tuple[NDArray[np.float32], NDArray[np.intp]] | None,
    class_weights: NDArray[np.float32] | None = None,
    random_state: int | None = None,
) -> tuple[LinearHead, History]:
    """Fit a head, with the inverse regularisation strength C that has the least log loss.

    The loss is measured on the validation part; where there is none, by cross-validation: 10 folds below 500 examples, 4 up
    to 2,000, and one of four from there on. C rises from strong regularisation to weak, each fit starts from the one
    before, and the search ends once the loss has risen twice. Embeddings are standardised first, and the scaling is
    folded into the head, so the same strengths suit every backbone.

    Args:
        embeddings: (n, dim) float32.
        labels: (n,) class indices, each of 0 … c − 1 at least once.
        views: (k, n, dim) float32, embeddings of k augmented views of each photo. The head learns of a photo and its views
            together, and they count as much as a photo without views; the loss is measured on photos alone.
        validation: embeddings and class indices.
        class_weights: (c,) weight of each class; None weighs them alike.
        random_state: of the folds; None is 0.

    Returns:
        The head, and a history with a row for each C: `C`, `validation_loss`, `validation_accuracy`.

    Raises:
        WeightsError: if an embedding holds NaN or infinity.
    """
    for vectors in (
        embeddings,
        *(() if views is None else views),
        *(() if validation is None else validation[:1]),
    ):
        check_finite(vectors)
    seen = embeddings[None] if views is None else np.concatenate([embeddings[None], views])
    if validation is not None:
        parts = [(seen, labels, *validation)]
    else:
        parts = [
            (seen[:, fit_rows], labels[fit_rows], embeddings[test_rows], labels[test_rows])
            for fit_rows, test_rows in _folds(labels, random_state)
        ]
    classes = int(labels.max()) + 1
    balance = np.ones(classes, np.float32) if class_weights is None else class_weights
    paths = [_path(part[0], part[1], classes, balance) for part in parts]
    sizes = np.array([len(part[3]) for part in parts])
    rows: list[dict[str, float]] = []
    best_heads: list[LinearHead] = []
    for strength in STRENGTHS:
        heads = [next(path) for path in paths]
        scores = np.array([_score(head, part[2], part[3]) for head, part in zip(heads, parts, strict=True)])
        loss, accuracy = sizes @ scores / sizes.sum()
        rows.append({"C": strength, "validation_loss": float(loss), "validation_accuracy": float(accuracy)})
        best = min(range(len(rows)), key=lambda i: rows[i]["validation_loss"])
        if best == len(rows) - 1:
            best_heads = heads
        elif len(rows) - 1 - best >= _PATIENCE:
            break
    history = History(tuple(rows))
    if validation is not None:
        return best_heads[0], history
    return next(_path(seen, labels, classes, balance, [STRENGTHS[best]])), history


def _folds(
    labels: NDArray[np.intp], random_state: int | None
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    folds = min(_MORE_FOLDS if len(labels) < _FEW else _FOLDS, len(labels))
    # Stratified folds need every class in each; with rarer classes, plain folds.
    kind = StratifiedKFold if np.bincount(labels).min() >= folds else KFold
    splitter = kind(n_splits=folds, shuffle=True, random_state=random_state or 0)
    parts = list(splitter.split(labels, labels))
    return parts if len(labels) < _ALL_FOLDS_BELOW else parts[:1]


def _score(
    head: LinearHead, embeddings: NDArray[np.float32], labels: NDArray[np.intp]
) -> tuple[float, float]:
    probabilities = head.probabilities(embeddings)
    true = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(true, 1e-12)).mean()), float(
        (probabilities.argmax(axis=1) == labels).mean()
    )


def _path(
    seen: NDArray[np.float32],
    labels: NDArray[np.intp],
    classes: int,
    balance: NDArray[np.float32],
    strengths: Sequence[float] = STRENGTHS,
) -> Iterator[LinearHead]:
    """Yield the head for each strength; scikit-learn's objective, minimised by torch's L-BFGS.

    `seen` is (views, n, dim): the loss is the mean over views, so a photo weighs the same however many it has.

    scikit-learn's own `LogisticRegression` took four to ten times as long on 1,280 features and a hundred classes.
    """
    embeddings = seen.reshape(-1, seen.shape[2])
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = embeddings.mean(axis=0), embeddings.std(axis=0)
    if not np.isfinite(scale).all():  # each number is finite, and float32 can't hold their squares
        mean, scale = (
            statistic(embeddings, axis=0, dtype=np.float64).astype(np.float32)
            for statistic in (np.mean, np.std)
        )
    # A feature that never varies (a dead unit) carries nothing, and must not be blown up.
    inverse = np.where(scale > 1e-6 * max(1e-30, float(scale.max())), 1 / np.maximum(scale, 1e-30), 0)
    inverse = inverse.astype(np.float32)
    with torch_defaults():
        inputs, targets = (
            torch.from_numpy((embeddings - mean) * inverse),
            torch.from_numpy(np.tile(labels, len(seen))),
        )
        class_balance = torch.from_numpy(balance)
        total = float(class_balance[targets].sum()) / len(seen)
        weight = torch.zeros((classes, inputs.shape[1]), requires_grad=True)
        bias = torch.zeros(classes, requires_grad=True)
    for strength in strengths:
        optimiser = torch.optim.LBFGS(
            [weight, bias],
            max_iter=500,
            tolerance_grad=1e-5,
            tolerance_change=1e-7,
            history_size=10,
            line_search_fn="strong_wolfe",
        )
        penalty = 1 / (2 * strength * total)

        def loss(penalty: float = penalty, optimiser: torch.optim.LBFGS = optimiser) -> torch.Tensor:
            optimiser.zero_grad()
            logits = inputs @ weight.T + bias
            value = torch.nn.functional.cross_entropy(logits, targets, weight=class_balance)
            value = value + penalty * weight.square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        with torch_defaults():
            optimiser.step(loss)  # type: ignore[no-untyped-call]
        scaled = weight.detach().numpy() * inverse
        yield LinearHead(scaled, bias.detach().numpy() - scaled @ mean)

"""What a faster encoder keeps of the embeddings it comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashionsearch import errors
from fashionsearch.metrics.recall import recall_at_k
from fashionsearch.neighbours import nearest_others
from fashionsearch.results import Fidelity

_NEIGHBOURS = 10
_VOTERS = 5


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
    near, before = nearest_others(embeddings, _NEIGHBOURS), nearest_others(original, _NEIGHBOURS)
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


def _voted_accuracy(neighbours: NDArray[np.intp], truth: NDArray[Any]) -> float:
    _, numbered = np.unique(truth, return_inverse=True)
    votes = numbered[neighbours[:, :_VOTERS]]
    same = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
    winners = np.take_along_axis(votes, same.argmax(axis=1)[:, None], axis=1)[:, 0]
    return float((winners == numbered).mean())

"""How good rankings and neighbours are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors

from fashionsearch import errors
from fashionsearch.results import Fidelity

_NEIGHBOURS = 10
_VOTERS = 5


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


def average_precision_at_k(relevant: ArrayLike, available: ArrayLike) -> NDArray[np.float64]:
    """Return each query's average precision over its first k matches; the mean over the queries is mAP@k.

    It is the sum of the precisions at the places of the relevant matches, divided by how many relevant ones k places
    could hold (Manning et al. 2008, Introduction to Information Retrieval, section 8.4).

    Args:
        relevant: (n, k) bool, whether each match is relevant, nearest first.
        available: (n,) how many relevant items there are to find, from 1 up.

    Returns:
        (n,) float64 in [0, 1].

    Raises:
        InputError: if the shapes don't fit or are empty, or a query has fewer relevant items than were found.

    Examples:
        >>> average_precision_at_k([[True, False, True]], [2]).round(3).tolist()
        [0.833]
    """
    try:
        hits, total = np.asarray(relevant, dtype=np.bool_), np.asarray(available)
    except ValueError as error:
        raise errors.InputError(
            f"relevant has rows of different lengths; fill them with False: {error}"
        ) from error
    if hits.ndim != 2 or not hits.size or total.shape != hits.shape[:1]:
        raise errors.InputError(
            f"relevant has shape {hits.shape} and available {total.shape}; give (n, k) and (n,)"
        )
    if (total < np.maximum(hits.sum(axis=1), 1)).any():
        raise errors.InputError(
            "a query has no relevant item, or fewer than were found; leave out queries with nothing to find, and count "
            "the relevant items of the whole collection"
        )
    precisions = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    average: NDArray[np.float64] = (precisions * hits).sum(axis=1) / np.minimum(total, hits.shape[1])
    return average


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

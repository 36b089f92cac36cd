"""Which labels are probably wrong: self-confidence out of fold, and what a product's other photos say."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fashionsearch.results import Mislabel
from fashionsearch.tagging.head import softmax
from fashionsearch.targets import UNKNOWN, Targets

_TRUSTED = 0.8  # share of pairs of one product's photos that are labelled alike, from which on one speaks for another
_VOTE = 3.0  # logarithm of the odds: photos of one product that are all labelled otherwise make it 20 times as probable
_DOUBTFUL = 0.3  # a given label that is less probable is listed


def agreement(labels: NDArray[np.int64], products: NDArray[np.intp]) -> float:
    """Return how often two photos of one product have the same label, in [0, 1]; 0 where there are no such two."""
    known = labels != UNKNOWN
    per_product = np.bincount(products[known])
    both = np.unique(np.stack([products[known], labels[known]], axis=1), axis=0, return_counts=True)[1]
    pairs = float((per_product * (per_product - 1)).sum())
    return float((both * (both - 1)).sum()) / pairs if pairs else 0.0


def with_products(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], products: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return (n, c) probabilities by all photos of a product, and by what the other ones are labelled with.

    Where photos of one product differ in the attribute anyway, as in colour, they say nothing of each other.
    """
    if agreement(labels, products) < _TRUSTED:
        return probabilities
    numbers = np.unique(products, return_inverse=True)[1]
    several = np.bincount(numbers)[numbers] > 1
    logs = np.log(np.maximum(probabilities, 1e-12))
    mean = np.zeros((int(numbers.max()) + 1, logs.shape[1]))
    np.add.at(mean, numbers[several], logs[several])
    votes = np.zeros_like(mean)
    known = several & (labels != UNKNOWN)
    np.add.at(votes, (numbers[known], labels[known]), 1)
    counts = np.bincount(numbers[several], minlength=len(mean))
    others = votes[numbers]
    others[np.flatnonzero(known), labels[known]] -= 1
    others /= np.maximum(others.sum(axis=1, keepdims=True), 1)
    logs[several] = (mean / np.maximum(counts, 1)[:, None])[numbers[several]] + _VOTE * others[several]
    return softmax(logs)


def mislabels(
    probabilities: Mapping[str, NDArray[np.float64]],
    targets: Targets,
    rows: NDArray[np.intp],
    sources: NDArray[np.object_],
) -> list[Mislabel]:
    """Return labels that are improbable, and less probable than another one, the least probable first."""
    found = []
    for name, classes in targets.classes.items():
        labels, said = targets.of(name), probabilities[name]
        given = said[np.arange(len(labels)), labels]
        best = said.argmax(axis=1)
        for place in np.flatnonzero((labels != UNKNOWN) & (best != labels) & (given < _DOUBTFUL)).tolist():
            row = int(rows[place])
            doubt = float(1 - given[place])
            found.append(
                Mislabel(
                    row, sources[row], name, str(classes[labels[place]]), str(classes[best[place]]), doubt
                )
            )
    return sorted(found, key=lambda each: (-each.score, each.row))

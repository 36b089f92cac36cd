"""Labels and class weights as users give them, checked before anything is read or learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import type_of_target

from fashionsearch import errors
from fashionsearch.images import Images, count


def checked_labels(images: Images, labels: ArrayLike, what: str) -> NDArray[Any]:
    """Return labels as an (n,) array.

    Raises:
        DataError: if they aren't one class for each image, or some are empty.
    """
    try:
        truth = np.asarray(labels)
        empty = [i for i, label in enumerate(_plain_list(labels)) if _is_empty(label)]
    except (TypeError, ValueError) as error:
        raise errors.DataError(f"{what} can't be read as one label for each image: {error}") from error
    if truth.ndim != 1:
        raise errors.DataError(f"{what} have shape {truth.shape}; give one label for each image, (n,)")
    known = count(images)
    if known is not None and known != len(truth):
        raise errors.DataError(
            f"there are {known} images and {len(truth)} {what}; give one label for each image"
        )
    if not len(truth):
        raise errors.DataError(f"there are no {what}; give at least one image with its label")
    if empty:
        raise errors.DataError(
            f"{len(empty)} of {len(truth)} {what} are empty, the first at position {empty[0]}; leave those rows out, "
            "for example table[table['label'] != '']"
        )
    try:
        kind = type_of_target(truth)
    except (TypeError, ValueError) as error:
        raise errors.DataError(f"{what} are not classes ({error}); give strings or integers") from error
    if kind not in ("binary", "multiclass"):
        raise errors.DataError(
            f"{what} of dtype {truth.dtype} are not classes ({kind}); give strings or integers"
        )
    return truth


def _plain_list(labels: ArrayLike) -> list[Any]:
    # Before numpy makes text of all of them, a missing label is still None or NaN.
    return labels.tolist() if isinstance(labels, np.ndarray) else list(labels)  # type: ignore[arg-type]


def _is_empty(label: object) -> bool:
    return (
        label is None
        or (isinstance(label, str) and not label)
        or (isinstance(label, float) and label != label)
    )


def numbered_class_weight(
    weights: str | Mapping[Any, float] | None, classes: NDArray[Any], name: str
) -> str | dict[int, float] | None:
    """Return class weights by the classes' numbers.

    Raises:
        InputError: if they name a class that no label has, or aren't weights.
    """
    if not isinstance(weights, Mapping):
        if weights not in (None, "balanced"):
            raise errors.InputError(
                f"{name}={weights!r} is not None, 'balanced' or a mapping of classes to weights"
            )
        return weights
    unknown = [key for key in weights if key not in classes.tolist()]
    if unknown:
        raise errors.InputError(
            f"{name} names {unknown[0]!r}, which no label has; the classes are "
            f"{', '.join(str(label) for label in classes)}"
        )
    return {place: float(weights.get(label, 1.0)) for place, label in enumerate(classes.tolist())}


def class_balance(labels: NDArray[np.intp], weights: str | Mapping[int, float] | None) -> NDArray[np.float32]:
    """Return the weight of each class, (c,) float32, for labels that are class numbers."""
    given = dict(weights) if isinstance(weights, Mapping) else weights
    classes = np.arange(int(labels.max()) + 1)
    return np.asarray(compute_class_weight(given, classes=classes, y=labels), dtype=np.float32)

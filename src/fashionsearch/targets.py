"""Labels and class weights as users give them, checked before anything is read or learned."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from numbers import Real
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
    if weights is None or (isinstance(weights, str) and weights == "balanced"):
        return weights
    if not isinstance(weights, Mapping):
        raise errors.InputError(
            f"{name}={weights!r} is not None, 'balanced' or a mapping of classes to weights"
        )
    unknown = [key for key in weights if key not in classes.tolist()]
    if unknown:
        raise errors.InputError(
            f"{name} names {unknown[0]!r}, which no label has; the classes are "
            f"{', '.join(str(label) for label in classes)}"
        )
    for label, weight in weights.items():
        if not isinstance(weight, Real) or not 0 <= float(weight) < float("inf"):
            raise errors.InputError(
                f"{name} gives {label!r} the weight {weight!r}; weights are numbers from 0 up"
            )
    if not any(weights.get(label, 1.0) for label in classes.tolist()):
        raise errors.InputError(f"{name} gives every class the weight 0; give at least one a weight above")
    return {place: float(weights.get(label, 1.0)) for place, label in enumerate(classes.tolist())}


def class_balance(labels: NDArray[np.intp], weights: str | Mapping[int, float] | None) -> NDArray[np.float32]:
    """Return the weight of each class, (c,) float32, for labels that are class numbers."""
    given = dict(weights) if isinstance(weights, Mapping) else weights
    classes = np.arange(int(labels.max()) + 1)
    return np.asarray(compute_class_weight(given, classes=classes, y=labels), dtype=np.float32)


def held_out_labels(
    validation: tuple[Images, ArrayLike], classes: NDArray[Any]
) -> tuple[Images, NDArray[np.intp]]:
    """Return validation images and their classes' numbers.

    Raises:
        DataError: if they aren't labels, or hold a class that isn't one of `classes`.
    """
    labels = checked_labels(validation[0], validation[1], "validation labels")
    known = np.isin(labels, classes)
    if not known.all():
        strangers = sorted({str(label) for label in labels[~known]})
        raise errors.DataError(
            f"validation labels hold classes that no training photo has: {', '.join(strangers)}; "
            "leave those rows out or add such photos to the training part"
        )
    return validation[0], np.searchsorted(classes, labels)


def warn_of_unseen(unseen: NDArray[Any], classes: int) -> None:
    """Warn of classes that the validation part lacks, out of so many."""
    if len(unseen):
        names = ", ".join(str(label) for label in unseen[:5]) + (" …" if len(unseen) > 5 else "")
        warnings.warn(
            f"{len(unseen)} of {classes} classes have no validation photo: {names}; the choice of the best epoch doesn't "
            "hear of them. A split with stratify= gives each class its share",
            errors.DataWarning,
            stacklevel=4,
        )

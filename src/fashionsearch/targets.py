"""Labels and class weights as users give them, checked before any photo is read, and made into class indices."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashionsearch import errors
from fashionsearch.images import Images, count

UNKNOWN = -1
LABEL = "label"  # the one attribute of a Classifier
_TEXT, _NUMBER, _BOOLEAN = "text", "number", "boolean"


@dataclass(frozen=True, eq=False)
class Targets:
    """What photos are labelled with, for one attribute or several.

    Attributes:
        indices: (n, attributes) int64, each an index into its attribute's classes; −1 is unknown.
        classes: attribute -> (c,) its classes, sorted, of the labels' own type.

    Examples:
        >>> targets = make_targets(["a.jpg", "b.jpg"], {"label": ["shoe", "bag"]})
        >>> targets.indices.tolist(), targets.classes["label"].tolist()
        ([[1], [0]], ['bag', 'shoe'])
    """

    indices: NDArray[np.int64]
    classes: Mapping[str, NDArray[Any]]

    def of(self, attribute: str) -> NDArray[np.int64]:
        """Return (n,) class indices of one attribute; −1 is unknown."""
        return np.ascontiguousarray(self.indices[:, list(self.classes).index(attribute)])


def make_targets(images: Images, labels: Mapping[str, ArrayLike], *, allow_unknown: bool = False) -> Targets:
    """Return the targets of a training part, whose labels say what the classes are.

    Args:
        images: n images in any form.
        labels: attribute -> (n,) labels.
        allow_unknown: whether empty labels ("", None, NaN, NA) are unknown, or an error.

    Raises:
        DataError: if labels can't be classes of these images, or an attribute has fewer than two.
    """
    columns, classes = [], {}
    for attribute, given in labels.items():
        name = _called(attribute)
        values, known = read_labels(images, given, name, allow_unknown=allow_unknown)
        classes[attribute], inverse = np.unique(values[known], return_inverse=True)
        if len(classes[attribute]) < 2:
            only = (
                f"all {len(values)} {name} are {str(values[known][0])!r}"
                if known.any()
                else f"no {name} are known"
            )
            raise errors.DataError(f"{only}; a classifier needs two classes or more")
        indices = np.full(len(values), UNKNOWN, dtype=np.int64)
        indices[known] = inverse
        columns.append(indices)
    return Targets(np.stack(columns, axis=1), classes)


def encode(
    images: Images,
    labels: Mapping[str, ArrayLike],
    classes: Mapping[str, NDArray[Any]],
    *,
    allow_unknown: bool = False,
) -> Targets:
    """Return the targets of a validation part, in the classes of the training part.

    Raises:
        DataError: if labels can't be classes of these images, or one is no class of the training part.
    """
    columns = []
    for attribute, known_classes in classes.items():
        name = f"validation {_called(attribute)}"
        values, known = read_labels(images, labels[attribute], name, allow_unknown=allow_unknown)
        unknown_classes = sorted({str(label) for label in values[known & ~np.isin(values, known_classes)]})
        if unknown_classes:
            raise errors.DataError(
                f"{name} hold classes that no training photo has: {', '.join(unknown_classes)}; "
                "leave those rows out or add such photos to the training part"
            )
        encoded = np.full(len(values), UNKNOWN, dtype=np.int64)
        encoded[known] = np.searchsorted(known_classes, values[known])
        columns.append(encoded)
    return Targets(np.stack(columns, axis=1), classes)


def _called(attribute: str) -> str:
    return "labels" if attribute == LABEL else f"labels of {attribute!r}"


def checked_labels(images: Images, labels: ArrayLike, name: str) -> NDArray[Any]:
    """Return labels as an (n,) array of text, integers, whole floats or booleans.

    Raises:
        DataError: if they aren't one class for each image, or some are empty.
    """
    return read_labels(images, labels, name, allow_unknown=False)[0]


def read_labels(
    images: Images, labels: ArrayLike, name: str, *, allow_unknown: bool = True
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return (n,) labels, and which of them are known; what stands in the place of unknown ones means nothing.

    Raises:
        DataError: if they aren't one class for each image, or some are empty and unknown ones are not allowed.
    """
    try:
        values = np.asarray(labels)
        # Before NumPy makes text of all of them, a missing label is still None or NaN, and a number is one.
        given = list(labels.tolist() if hasattr(labels, "tolist") else labels)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise errors.DataError(f"{name} can't be read as one label for each image: {error}") from error
    if values.ndim != 1:
        raise errors.DataError(f"{name} have shape {values.shape}; give one label for each image, (n,)")
    check_one_each(images, len(values), name)
    if not len(values):
        raise errors.DataError(f"there are no {name}; give at least one image with its label")
    empty = [position for position, label in enumerate(given) if _is_empty(label)]
    if empty and not allow_unknown:
        raise errors.DataError(
            f"{len(empty)} of {len(values)} {name} are empty, the first at position {empty[0]}; leave those rows out, "
            "for example table[table['label'] != '']"
        )
    known = np.ones(len(values), dtype=bool)
    known[empty] = False
    return _as_classes(values, given, known, name), known


def check_one_each(images: Images, labels: int, name: str = "labels") -> None:
    """Raise DataError unless there is one label for each image, where their number is known before they are read."""
    images_given = count(images)
    if images_given is None or images_given == labels:
        return
    shape = tuple(getattr(images, "shape", ()))
    if shape and shape[0] == labels and len(shape) == 2:
        raise errors.DataError(
            f"images have shape {shape}, which is one grey photo, and there are {labels} {name}; if each row is a photo, "
            "give the rows their height and width back: list(images.reshape(n, height, width)), or (n, height, width, 3)"
        )
    if shape and shape[0] == labels and len(shape) == 3:
        raise errors.DataError(
            f"images have shape {shape}, which is one photo, and there are {labels} {name}; give grey photos as a list, "
            "list(images), and coloured ones as (n, height, width, 3)"
        )
    raise errors.DataError(
        f"there are {images_given} images and {labels} {name}; give one label for each image"
    )


def _is_empty(label: object) -> bool:
    if label is None or (isinstance(label, str) and not label):
        return True
    try:
        return bool(label != label)  # NaN and NaT
    except (TypeError, ValueError):
        return type(label).__name__ == "NAType"  # pandas.NA, which is neither equal to itself nor not


def _as_classes(
    values: NDArray[Any], given: Sequence[Any], known: NDArray[np.bool_], name: str
) -> NDArray[Any]:
    """Return labels as text, integers, whole floats or booleans, which can be sorted, saved and told apart."""
    if values.dtype.kind not in "biufUOT":
        raise errors.DataError(
            f"{name} of dtype {values.dtype} are not classes (position 0 holds {given[0]!r}); give text or whole numbers, "
            "for example by astype(str)"
        )
    first: dict[str, int] = {}
    for position in np.flatnonzero(known).tolist():
        kind = _kind(given[position])
        if kind is None:
            raise errors.DataError(
                f"{name} are not classes: position {position} holds {given[position]!r}; give text or whole numbers"
            )
        first.setdefault(kind, position)
    if len(first) > 1:
        one, other = list(first.values())[:2]
        raise errors.DataError(
            f"{name} are of several kinds: position {one} holds {given[one]!r}, and position {other} {given[other]!r}; "
            "make them all text, or all numbers"
        )
    # Text in an array of objects, as pandas keeps it, stays as it is; the other forms have a plain equivalent.
    if values.dtype.kind in "biufU" or (values.dtype.kind == "O" and _TEXT in first):
        return values
    plain = {_TEXT: str, _BOOLEAN: bool}.get(next(iter(first), _TEXT), np.int64)
    filler = plain(0)
    try:
        return np.array(
            [label if is_known else filler for label, is_known in zip(given, known, strict=True)], plain
        )
    except OverflowError as error:
        raise errors.DataError(f"{name} hold numbers that don't fit in 64 bits; give them as text") from error


def _kind(label: object) -> str | None:
    if isinstance(label, str):
        return _TEXT
    if isinstance(label, bool | np.bool_):
        return _BOOLEAN
    if isinstance(label, Real) and (isinstance(label, Integral) or float(label).is_integer()):
        return _NUMBER
    return None


def class_weights(
    indices: NDArray[np.int64], classes: NDArray[Any], given: str | Mapping[Any, float] | None, name: str
) -> NDArray[np.float32]:
    """Return the weight of each class, (c,) float32.

    Args:
        indices: (n,) class indices; −1 is unknown.
        classes: (c,) the classes.
        given: None, "balanced" (the rarer a class, the more it weighs) or class -> weight, 1 for those not named.
        name: the argument's, for messages.

    Raises:
        InputError: if they name a class that no label has, or aren't weights.
    """
    if given is None:
        return np.ones(len(classes), dtype=np.float32)
    if isinstance(given, str) and given == "balanced":
        counts = np.bincount(indices[indices != UNKNOWN], minlength=len(classes))
        return np.asarray(counts.sum() / (len(classes) * counts), dtype=np.float32)
    if not isinstance(given, Mapping):
        raise errors.InputError(
            f"{name}={given!r} is not None, 'balanced' or a mapping of classes to weights"
        )
    known = classes.tolist()
    unknown_classes = [label for label in given if label not in known]
    if unknown_classes:
        raise errors.InputError(
            f"{name} names {unknown_classes[0]!r}, which no label has; the classes are "
            f"{', '.join(str(label) for label in known)}"
        )
    for label, weight in given.items():
        if not isinstance(weight, Real) or not 0 <= weight < 1e30:
            raise errors.InputError(
                f"{name} gives {label!r} the weight {weight!r}; weights are numbers from 0 up that float32 holds"
            )
    weights = np.array([given.get(label, 1.0) for label in known], dtype=np.float32)
    if not weights.any():
        raise errors.InputError(f"{name} gives every class the weight 0; give at least one a weight above")
    return weights


def warn_of_unseen(training: Targets, validation: Targets) -> None:
    """Warn of classes that the validation part lacks."""
    for attribute, classes in training.classes.items():
        unseen = classes[np.setdiff1d(np.arange(len(classes)), validation.of(attribute))]
        if len(unseen):
            names = ", ".join(str(label) for label in unseen[:5]) + (" …" if len(unseen) > 5 else "")
            warnings.warn(
                f"{len(unseen)} of {len(classes)} classes have no validation photo: {names}; the choice of the best "
                "epoch doesn't hear of them. A split with stratify= gives each class its share",
                errors.DataWarning,
                stacklevel=3,
            )

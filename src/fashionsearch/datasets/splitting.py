"""One split of a table's rows in two, with errors that name what does not fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from fashionsearch import errors


class _Columns(Protocol):
    def __getitem__(self, key: str, /) -> NDArray[np.str_]: ...


def split_once(
    table: _Columns,
    rows: NDArray[np.intp],
    *,
    fraction: float,
    name: str,
    seed: int | None,
    stratify: str | None,
    group: str | None,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split `rows` into what stays and the `fraction` that goes to the part called `name`.

    Raises:
        DataError: if the fraction is outside [0, 1), a part would be empty, or a class is too small.
    """
    if not isinstance(fraction, Real) or not 0 <= fraction < 1:
        raise errors.DataError(f"{name}={fraction!r} is not a fraction in [0, 1), for example 0.2")
    if fraction == 0:
        return rows, rows[:0]
    size = math.ceil(fraction * len(rows))
    if size < 1 or size >= len(rows):
        raise errors.DataError(
            f"{name}={fraction} of {len(rows)} rows leaves a part empty; use more rows or another fraction"
        )
    if group is not None:
        groups = table[group][rows]
        distinct = len(np.unique(groups))
        if math.ceil(fraction * distinct) >= distinct:
            raise errors.DataError(
                f"column {group!r} has {distinct} distinct values, too few for {name}={fraction}; "
                "use another column or a smaller fraction"
            )
        splitter = GroupShuffleSplit(n_splits=1, test_size=fraction, random_state=seed)
        stay, go = next(splitter.split(rows, groups=groups))
        return rows[stay], rows[go]
    if stratify is None:
        stay, go = train_test_split(rows, test_size=fraction, random_state=seed)
        return stay, go
    labels = table[stratify][rows]
    counts = _counts(labels)
    small = {label: count for label, count in counts.items() if count < 2}
    if small:
        named = ", ".join(f"{label!r} ({count})" for label, count in small.items())
        raise errors.DataError(
            f"can't stratify the {name} part by {stratify!r}: these classes have fewer than 2 rows: {named}; "
            "leave them out or don't stratify"
        )
    if min(size, len(rows) - size) < len(counts):
        raise errors.DataError(
            f"can't stratify by {stratify!r}: {len(counts)} classes don't fit a {name} part of {size} of "
            f"{len(rows)} rows; use more rows or another fraction"
        )
    stay, go = train_test_split(rows, test_size=fraction, random_state=seed, stratify=labels)
    return stay, go


def _counts(labels: NDArray[np.str_]) -> Mapping[str, int]:
    values, counts = np.unique(labels, return_counts=True)
    return {str(value): int(count) for value, count in zip(values, counts, strict=True)}

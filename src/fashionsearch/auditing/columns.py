"""Which columns of a table are labels to check, which photos are of one product, and which part each is in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from fashionsearch import errors
from fashionsearch.datasets.table import Table
from fashionsearch.results.audit import TAKEN
from fashionsearch.values import is_number

_LABELS_EACH, _MOST_CLASSES, _MOST_WORDS = 5, 1000, 4
_FIRST_PARTS = ("train", "training")


def attributes_of(
    table: Table, asked: str | Sequence[str] | None, others: Sequence[object]
) -> tuple[str, ...]:
    """Return the columns to check: those that are asked for, else all that look like labels.

    A column looks like labels if it holds text of 2 to 1,000 different values of at most four words on average, each on
    five photos or more on average.

    Args:
        table: whose columns.
        asked: names, or None.
        others: columns by name that say something else, such as the group.

    Raises:
        DataError: if a name is no column, or no column can be checked.
    """
    if asked is not None:
        names = (asked,) if isinstance(asked, str) else tuple(asked)
        for name in names:
            known = set(table[name].tolist()) - {""}  # raises for a column that isn't there
            if len(known) < 2:
                raise errors.DataError(
                    f"the column {name!r} has {len(known)} known values, so no label of it can be compared with "
                    "another; leave it out of attributes"
                )
    else:
        names = tuple(name for name in table.columns if name not in others and _are_labels(table, name))
    if not names:
        raise errors.DataError(
            f"no column looks like labels: {', '.join(table.columns) or 'there are none'}; name those to check, for "
            "example attributes=['articleType']"
        )
    for name in names:
        if name in TAKEN:
            raise errors.DataError(
                f"{name!r} can't be checked: {', '.join(TAKEN)} are columns of an audit's own; rename it"
            )
    return names


def _are_labels(table: Table, name: str) -> bool:
    known = [value for value in table[name].tolist() if value]
    distinct = set(known)
    if name in ("id", *TAKEN) or not 2 <= len(distinct) <= min(_MOST_CLASSES, len(known) / _LABELS_EACH):
        return False
    if any(is_number(value) for value in table.metadata[name]):
        return False
    return sum(len(value.split()) for value in distinct) <= _MOST_WORDS * len(distinct)


def texts_of(table: Table, given: str | ArrayLike | None, called: str) -> NDArray[np.str_] | None:
    """Return a column by its name, or one value a row as it is given, as (n,) text; None for None.

    Raises:
        DataError: if there is no such column, or there isn't one value for each row.
    """
    if given is None:
        return None
    if isinstance(given, str):
        column: NDArray[np.str_] = table[given]
        return column
    values = np.asarray(["" if value is None else str(value) for value in np.asarray(given, object).ravel()])
    if len(values) != len(table):
        raise errors.DataError(
            f"{called} holds {len(values)} values, and the table has {len(table)} rows; give a column's name, or one "
            "value for each row"
        )
    return values


def products_of(names: NDArray[np.str_] | None, n: int) -> NDArray[np.intp]:
    """Return (n,) numbers, the same for photos of one product; a photo without a name is a product of its own."""
    if names is None:
        return np.arange(n)
    numbers = np.unique(names, return_inverse=True)[1].astype(np.intp)
    return np.where(names == "", numbers.max() + 1 + np.arange(n), numbers)


def joined(products: NDArray[np.intp], pairs: Sequence[tuple[int, int]]) -> NDArray[np.intp]:
    """Return (n,) numbers of products, where the two photos of each pair are of one product too."""
    numbers = np.unique(products, return_inverse=True)[1]
    ends = numbers[np.array(pairs, dtype=np.intp).reshape(-1, 2)]
    size = int(numbers.max()) + 1
    links = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    return np.asarray(connected_components(links, directed=False)[1][numbers], dtype=np.intp)


def order_of_parts(parts: NDArray[np.str_]) -> list[str]:
    """Return the names of a split's parts, what is learned from first, then as they come.

    Raises:
        DataError: if there are fewer than two.
    """
    found = list(dict.fromkeys(part for part in parts.tolist() if part))
    if len(found) < 2:
        raise errors.DataError(
            f"the split has {len(found)} parts ({', '.join(found) or 'all values are empty'}), and a leak is between two; "
            "leave split out, or give a column such as 'train' and 'test'"
        )
    return sorted(found, key=lambda part: part.lower() not in _FIRST_PARTS)

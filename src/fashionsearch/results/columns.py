"""Metadata of an answer by column, of which the dictionaries are made once somebody reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class MetadataColumns:
    """What an answer's items had in each field when it was given; later changes of an index don't reach it.

    Most of a search's metadata are never read, and to make the dictionaries takes as long as a third of the search.

    Args:
        values: field -> values, in a list that only ever grows.
        codes: (fields, n, k) int32, where in its list each item's value is; −1 where it has none.
        there: (n, k) bool, which places hold items.
    """

    def __init__(
        self, values: Mapping[str, Sequence[Any]], codes: NDArray[np.int32], there: NDArray[np.bool_]
    ) -> None:
        self._values, self._codes, self._there = dict(values), codes, there

    def rearranged(self, order: NDArray[np.intp]) -> MetadataColumns:
        """Return those at (n, m) places of each query; −1 stands for an empty place."""
        there = np.take_along_axis(self._there, order, axis=1) & (order >= 0)
        return MetadataColumns(self._values, np.take_along_axis(self._codes, order[None], axis=2), there)

    def rows(self) -> NDArray[np.object_]:
        """Return (n, k) object, a dict for each item and None where there is none."""
        names = tuple(self._values)
        found = np.full(self._there.shape, None, dtype=object)
        codes = self._codes[:, self._there]
        if not names:
            items: list[dict[str, Any]] = [{} for _ in range(codes.shape[1])]
        else:
            columns = [
                _picked(values, each) for values, each in zip(self._values.values(), codes, strict=True)
            ]
            items = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
            for place in np.flatnonzero((codes < 0).any(axis=0)).tolist():
                items[place] = {name: value for name, value in items[place].items() if value is not _NOTHING}
        found[self._there] = np.fromiter(items, dtype=object, count=len(items))
        return found


_NOTHING = object()


def _picked(values: Sequence[Any], codes: NDArray[np.int32]) -> list[Any]:
    if codes.min(initial=0) >= 0:  # the usual case, in half the time
        return list(map(values.__getitem__, codes.tolist()))
    return [values[code] if code >= 0 else _NOTHING for code in codes.tolist()]

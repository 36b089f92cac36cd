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
        is_full = np.count_nonzero(self._there) == self._there.size
        codes = (
            self._codes.reshape(len(self._codes), self._there.size)
            if is_full
            else self._codes[:, self._there]
        )
        items = self._items(codes)
        if is_full:
            return np.fromiter(items, dtype=object, count=len(items)).reshape(self._there.shape)
        found = np.full(self._there.shape, None, dtype=object)
        found[self._there] = np.fromiter(items, dtype=object, count=len(items))
        return found

    def _items(self, codes: NDArray[np.int32]) -> list[dict[str, Any]]:
        """Return a dict for each of (fields, m) codes."""
        names = tuple(self._values)
        if not names:
            return [{} for _ in range(codes.shape[1])]
        if not np.count_nonzero(codes < 0):  # the usual case, in half the time
            columns = zip(self._values.values(), codes.tolist(), strict=True)
            rows = zip(*[map(values.__getitem__, each) for values, each in columns], strict=True)
            return [dict(zip(names, row, strict=True)) for row in rows]
        values = self._values.items()
        return [
            {name: held[code] for (name, held), code in zip(values, row, strict=True) if code >= 0}
            for row in codes.T.tolist()
        ]

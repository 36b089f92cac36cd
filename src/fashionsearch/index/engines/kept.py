"""Which rows meet the filters that were asked last: a shop asks for the same ones again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.filters import Condition

_MOST_BYTES = 32 * 2**20
_MOST = 64


class Kept(NamedTuple):
    """The rows that meet a filter, as slots in ascending order, and as a flag for each slot."""

    slots: NDArray[np.intp]
    flags: NDArray[np.bool_]


class LastKept:
    """Remembers the rows that meet a few filters, until a store changes."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Kept] = OrderedDict()
        self._bytes = 0

    def clear(self) -> None:
        """Forget all."""
        self._held.clear()
        self._bytes = 0

    def of(self, condition: Condition, find: Callable[[], NDArray[np.bool_]]) -> Kept:
        """Return the rows that meet a condition; `find` returns a flag for each slot where they aren't known."""
        try:
            name = repr(condition)  # which tells 1, 1.0 and True apart
        except ValueError:  # a number of thousands of digits
            return Kept(np.flatnonzero(flags := find()), flags)
        kept = self._held.get(name)
        if kept is None:
            flags = find()
            kept = self._held[name] = Kept(np.flatnonzero(flags), flags)
            self._bytes += kept.slots.nbytes + flags.nbytes
            while len(self._held) > 1 and (len(self._held) > _MOST or self._bytes > _MOST_BYTES):
                _, old = self._held.popitem(last=False)
                self._bytes -= old.slots.nbytes + old.flags.nbytes
        else:
            self._held.move_to_end(name)
        return kept

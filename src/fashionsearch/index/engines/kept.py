"""Which rows meet the filters that were asked last: a shop asks for the same ones again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.filters import Condition

_MOST_BYTES = 32 * 2**20
_MOST = 64
_GATHERED_BYTES = 8 * 2**20  # of vectors side by side, which are compared in less time than a walk takes
_INERTIA, _DOUBT = 0.8, 0.01


class Kept:
    """The rows that meet a filter, and how deep searches had to look for them.

    Attributes:
        slots: of the rows, in ascending order.
    """

    def __init__(self, flags: NDArray[np.bool_]) -> None:
        self.slots = np.flatnonzero(flags)
        # Between two that aren't, which stand for −1 and for what a change is about to add behind the last slot.
        self._flags = np.zeros(len(flags) + 2, dtype=bool)
        self._flags[1:-1] = flags
        self._asked = 0
        self._gathered: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        self._depth = 0.0  # of the rows nearest to a query, how many come to one that is kept; 0 is unknown

    def holds(self, slots: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which of an array of slots are of rows that meet the filter; −1 isn't."""
        return self._flags.take(slots + 1, mode="clip")

    @property
    def bytes(self) -> int:
        """What it takes up in memory."""
        gathered = 0 if self._gathered is None else self._gathered[0].nbytes + self._gathered[1].nbytes
        return self.slots.nbytes + self._flags.nbytes + gathered

    def gathers(self, dim: int) -> bool:
        """Return whether the rows' vectors are to lie side by side: few ones, of a filter that was asked for before."""
        return self._asked > 1 and 4 * dim * len(self.slots) <= _GATHERED_BYTES

    def gathered(
        self, vectors: NDArray[np.float32], norms: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the rows' vectors and lengths side by side, which are kept."""
        if self._gathered is None:
            self._gathered = vectors[self.slots], norms[self.slots]
        return self._gathered

    def depth(self, rows: int) -> float:
        """Return how many of the rows nearest to a query, of so many in all, come to one that is kept."""
        return self._depth or rows / max(1, len(self.slots))

    def learn(self, depths: NDArray[np.floating], rows: int) -> None:
        """Take in how deep the latest queries had to look."""
        # The mean of logarithms: a few queries that looked in vain must not send all others as deep.
        latest, weight = np.log(depths).mean(), 1 - _INERTIA ** len(depths)
        self._depth = float(np.exp((1 - weight) * np.log(self.depth(rows)) + weight * latest))

    def learn_one(self, depth: float, rows: int) -> None:
        """Take in how deep the latest query had to look."""
        self._depth = self.depth(rows) ** _INERTIA * depth ** (1 - _INERTIA)

    def forget(self, rows: int) -> None:
        """Doubt a little what was learned: when no walk seems to pay, nothing else would ever have one tried again."""
        self._depth = self.depth(rows) * (1 - _DOUBT) + _DOUBT * rows / max(1, len(self.slots))


class LastKept:
    """Remembers the rows that meet a few filters, until a store changes."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Kept] = OrderedDict()

    @property
    def _bytes(self) -> int:
        return sum(kept.bytes for kept in self._held.values())

    def clear(self) -> None:
        """Forget all."""
        self._held.clear()

    def of(self, condition: Condition, find: Callable[[], NDArray[np.bool_]]) -> Kept:
        """Return the rows that meet a condition; `find` returns a flag for each slot where they aren't known."""
        try:
            name = repr(condition)  # which tells 1, 1.0 and True apart
        except ValueError:  # a number of thousands of digits
            return Kept(find())
        kept = self._held.get(name)
        if kept is None:
            kept = self._held[name] = Kept(find())
        else:
            self._held.move_to_end(name)
        kept._asked += 1
        # Those that were gathered since have grown.
        while len(self._held) > 1 and (len(self._held) > _MOST or self._bytes > _MOST_BYTES):
            self._held.popitem(last=False)
        return kept

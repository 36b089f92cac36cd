"""One metadata field of an index: each distinct value once, so that a filter decides once for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.filters import COMPARISONS, EXACT, Condition, Value, as_number, is_number


class Column:
    """Values by slot.

    Attributes:
        values: the distinct values, in the order they came.
        codes: the number of each slot's value; −1 where a slot has none. `grow` makes it long enough.
    """

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.codes = np.full(0, -1, dtype=np.int32)
        self._code_of: dict[tuple[type, Value], int] = {}
        self._numbers = np.zeros(0)
        self._beyond_floats: list[int] = []

    def set(self, slot: int, value: Value) -> None:
        """Give a slot a value."""
        if len(self.values) > 2 * len(self.codes) + 1000:
            self._forget_unused()
        key = (type(value), value)  # 1, 1.0 and True are equal keys otherwise
        code = self._code_of.setdefault(key, len(self.values))
        if code == len(self.values):
            self.values.append(value)
        self.grow(slot + 1)
        self.codes[slot] = code

    def _forget_unused(self) -> None:
        """Drop the values no slot has any more, which many updates leave behind."""
        used, codes = np.unique(self.codes, return_inverse=True)
        self.values = [self.values[code] for code in used if code >= 0]
        self.codes = (codes - (used[0] < 0)).astype(np.int32)
        self._code_of = {(type(value), value): code for code, value in enumerate(self.values)}
        self._numbers, self._beyond_floats = np.zeros(0), []

    def grow(self, size: int) -> None:
        """Make room for so many slots."""
        if size > len(self.codes):
            wider = np.full(max(size, 2 * len(self.codes)), -1, dtype=np.int32)
            wider[: len(self.codes)] = self.codes
            self.codes = wider

    def get(self, slot: int) -> Value:
        """Return the value of a slot that has one."""
        return self.values[int(self.codes[slot])]

    def holds(self, slot: int) -> bool:
        """Return whether a slot has a value."""
        return slot < len(self.codes) and self.codes[slot] >= 0

    def verdicts(self, condition: Condition) -> NDArray[np.bool_]:
        """Return whether each distinct value meets a condition, and at the end whether an unknown one does."""
        limits = [bound for _, bound in condition.bounds if is_number(bound)]
        numeric = [option for option in condition.options if is_number(option)]
        compares_text = len(limits) < len(condition.bounds)
        if compares_text or any(abs(number) > EXACT for number in [*limits, *numeric]):
            return np.array([condition.holds(value) for value in [*self.values, None]], dtype=bool)
        # A price differs from row to row: numbers are compared as an array, and text is looked up.
        met = np.full(len(self.values), bool(limits))
        for name, bound in condition.bounds:
            met &= COMPARISONS[name](self._as_numbers(), bound)
        if numeric:
            met |= np.isin(self._as_numbers(), numeric)
        if limits or numeric:
            for code in self._beyond_floats:
                met[code] = condition.holds(self.values[code])
        codes = (self._code_of.get((type(option), option)) for option in condition.options)
        met[[code for code in codes if code is not None]] = True
        return np.append(met, condition.holds(None))

    def _as_numbers(self) -> NDArray[np.float64]:
        """Return the distinct values as filters read numbers; NaN is none, or a whole number no float can hold."""
        known = len(self._numbers)
        fresh = np.full(len(self.values) - known, np.nan)
        for place, value in enumerate(self.values[known:]):
            number = as_number(value)
            if isinstance(number, int) and abs(number) > EXACT:
                self._beyond_floats.append(known + place)
            elif number is not None:
                fresh[place] = number
        if len(fresh):
            self._numbers = np.concatenate([self._numbers, fresh])
        return self._numbers

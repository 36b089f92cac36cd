"""One metadata field of an index: each distinct value once, so that a filter decides once for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.filters import COMPARISONS, Contains, Leaf, OneOf, Range, as_number, words_of
from fashionsearch.values import FALSE, TRUE, Value, is_number, read_text

_EXACT = 2**53  # whole numbers up to this size are the same as floats
_NO_CODES = np.zeros(0, dtype=np.intp)


class Column:
    """Values by slot.

    What is derived from the values is made when a filter first needs it, and published by one assignment, so that an
    interruption or a search in another thread finds the column as before or after.

    Attributes:
        values: the distinct values, in the order they came.
        codes: the number of each slot's value; −1 where a slot has none. `grow` makes it long enough.
    """

    def __init__(self, values: Sequence[Value] = (), codes: NDArray[np.int32] | None = None) -> None:
        self.values = list(values)
        self.codes = np.full(0, -1, dtype=np.int32) if codes is None else codes
        self._code_of: dict[tuple[type, Value], int] | None = None
        # Each of so many values: see `_as_numbers`.
        self._numbers = (0, np.zeros(0), np.zeros(0, dtype=np.bool_), _NO_CODES)
        # In which of so many values each word is.
        self._words: tuple[int, dict[str, list[int]]] = (0, {})

    def assign(self, slots: NDArray[np.intp], values: Sequence[Value]) -> None:
        """Give each of some slots a value."""
        if len(slots):
            codes = self.encode(values)
            self.grow(int(slots.max()) + 1)
            self.codes[slots] = codes

    def encode(self, values: Sequence[Value]) -> NDArray[np.int32]:
        """Return the number of each value; new values get the next ones."""
        code_of = self._lookup()
        codes = np.empty(len(values), dtype=np.int32)
        for place, value in enumerate(values):
            key = (type(value), value)  # 1, 1.0 and True are equal keys otherwise
            code = code_of.get(key)
            if code is None:
                code = len(self.values)
                self.values.append(
                    value
                )  # first: an interruption here must leave no number without its value
                code_of[key] = code
            codes[place] = code
        return codes

    def _lookup(self) -> dict[tuple[type, Value], int]:
        if self._code_of is None:
            self._code_of = {(type(value), value): code for code, value in enumerate(self.values)}
        return self._code_of

    def grow(self, size: int) -> None:
        """Make room for so many slots."""
        if size > len(self.codes):
            wider = np.full(max(size, 2 * len(self.codes)), -1, dtype=np.int32)
            wider[: len(self.codes)] = self.codes
            self.codes = wider

    @property
    def is_wasteful(self) -> bool:
        """Whether many updates have left behind more values than there are slots; `take` leaves them out."""
        return len(self.values) > 2 * len(self.codes) + 1000

    def take(self, slots: NDArray[np.intp]) -> Column:
        """Return a new column of some slots, in this order, with the values they use and no others."""
        self.grow(int(slots.max(initial=-1)) + 1)
        codes = self.codes[slots]
        is_used = np.zeros(len(self.values) + 1, dtype=np.bool_)  # the last stands for −1
        is_used[codes] = True
        used = np.flatnonzero(is_used[:-1])
        renumbered = np.full(len(is_used), -1, dtype=np.int32)
        renumbered[used] = np.arange(len(used), dtype=np.int32)
        return Column([self.values[code] for code in used.tolist()], renumbered[codes])

    def counts(self, slots: NDArray[np.intp]) -> list[tuple[Value, int]]:
        """Return each value that some slots have, and how many have it, the commonest first; None doesn't count."""
        codes = self.codes[slots[slots < len(self.codes)]]
        counts = np.bincount(codes[codes >= 0], minlength=len(self.values))
        order = np.argsort(-counts, kind="stable").tolist()
        return [
            (self.values[code], int(counts[code]))
            for code in order
            if counts[code] and self.values[code] is not None
        ]

    def verdicts(self, condition: Leaf) -> NDArray[np.bool_]:
        """Return whether each distinct value meets a condition, and at the end whether an unknown one does."""
        count = len(self.values)
        if isinstance(condition, OneOf):
            met = self._equal_to(condition, count)
        elif isinstance(condition, Range):
            met = np.ones(count, dtype=np.bool_)
            for name, bound in condition.bounds:
                met &= self._compared(name, bound, count)
        elif isinstance(condition, Contains):
            met = self._with_words(condition, count)
        else:
            met = np.full(count, condition.there)
            nothing = self._lookup().get((type(None), None), count)
            met[nothing : nothing + 1] = not condition.there
        return np.append(met, condition.holds(None))

    def _with_words(self, condition: Contains, count: int) -> NDArray[np.bool_]:
        known, codes_of = self._words
        if known < count:
            # An interruption leaves codes here that are put in once more, which changes no verdict.
            for code in range(known, count):
                value = self.values[code]
                for word in set(words_of(value)) if isinstance(value, str) else ():
                    codes_of.setdefault(word, []).append(code)
            self._words = (count, codes_of)
        found = [codes_of.get(word, []) for word in condition.words]
        met = np.zeros(count, dtype=np.bool_)
        met[sorted(set(found[0]).intersection(*found[1:]))] = True
        return met

    def _equal_to(self, condition: OneOf, count: int) -> NDArray[np.bool_]:
        met = np.zeros(count, dtype=np.bool_)
        code_of = self._lookup()
        for option in condition.options:
            codes = [code_of.get(key) for key in _keys_equal_to(option)]
            met[[code for code in codes if code is not None and code < count]] = True
        numbers = [option for option in condition.options if is_number(option)]
        if numbers:  # text spells a number in many ways, which have no keys
            read, _, large = self._as_numbers(count)
            met |= np.isin(read, [number for number in numbers if abs(number) <= _EXACT])
            met[large] |= self._one_by_one(condition, large)
        return met

    def _compared(self, name: str, bound: str | int | float, count: int) -> NDArray[np.bool_]:
        met = np.zeros(count, dtype=np.bool_)
        number = read_text(bound) if isinstance(bound, str) else bound
        if is_number(number):
            read, is_text, large = self._as_numbers(count)
            if (
                abs(number) > _EXACT
            ):  # nothing that is read lies beyond, so any number beyond compares like it
                number = math.inf if number > 0 else -math.inf
            met = COMPARISONS[name](read, number)
            met[large] = self._one_by_one(Range("", ((name, bound),)), large)
            if isinstance(bound, str):
                met &= ~is_text
        if isinstance(bound, str):
            compare = COMPARISONS[name]
            values = self.values[:count]
            # To put the texts in order first would cost as much as ten ranges, in the middle of a search.
            met |= np.fromiter((isinstance(v, str) and compare(v, bound) for v in values), np.bool_, count)
        return met

    def _one_by_one(self, condition: OneOf | Range, codes: NDArray[np.intp]) -> NDArray[np.bool_]:
        return np.array([condition.holds(self.values[code]) for code in codes.tolist()], dtype=np.bool_)

    def _as_numbers(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp]]:
        """Return how filters read the first values as numbers.

        Returns:
            (count,) numbers, NaN where there is none or it is too large for floats to tell from its neighbours; (count,)
            whether the value is text; and the codes of those that are too large.
        """
        known, numbers, is_text, large = self._numbers
        if known < count:
            fresh = self.values[known:count]
            plain = set(map(type, fresh)) <= {int, float}  # the usual case, in a tenth of the time
            read: list[Any] = fresh if plain else [as_number(value) for value in fresh]
            beyond = [
                place for place, number in enumerate(read) if number is not None and abs(number) > _EXACT
            ]
            if beyond:
                read = list(read)
            for place in beyond:
                read[place] = None
            numbers = np.concatenate([numbers, np.array(read, dtype=np.float64)])
            is_text = np.concatenate(
                [is_text, np.array([isinstance(value, str) for value in fresh], dtype=np.bool_)]
            )
            large = np.concatenate([large, np.array(beyond, dtype=np.intp) + known])
            self._numbers = (count, numbers, is_text, large)
        return numbers[:count], is_text[:count], large[large < count]


def _keys_equal_to(option: Value) -> list[tuple[type, Value]]:
    """Return the keys of values that equal an option, other than text that spells a number."""
    if is_number(option):
        return [(int, option), (float, option)]
    if isinstance(option, bool):
        return [(bool, option), *((str, text) for text in (TRUE if option else FALSE))]
    if not isinstance(option, str):
        return [(type(option), option)]
    spelled = read_text(option)
    kinds = (bool,) if isinstance(spelled, bool) else (int, float)
    return [(str, option), *((kind, spelled) for kind in kinds)]

"""Filters on metadata: a small tree of our own, checked before it is used and never pasted into a query's text."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard

from fashionsearch import errors

Value: TypeAlias = "str | int | float | bool | None"
Where: TypeAlias = Mapping[str, Any]

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
EXACT = 2**53  # whole numbers up to this size are the same as floats


def plain(value: object, field: str) -> Value:
    """Return a metadata value as JSON holds it: numpy scalars become Python's, and NaN becomes None.

    Raises:
        InputError: if it isn't text, a number, a boolean or None.
    """
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return None  # how tables of data mark an unknown value
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise errors.InputError(
        f"metadata field {field!r} holds {value!r} of type {type(value).__name__}; give text, a finite number, "
        "True, False or None"
    )


@dataclass(frozen=True)
class Condition:
    """One field's condition: the value is one of `options`, or meets all `bounds`."""

    field: str
    options: tuple[Value, ...] = ()
    bounds: tuple[tuple[str, Value], ...] = ()

    def holds(self, value: Value) -> bool:
        """Return whether a stored value meets the condition; an unknown one (None) meets no bound."""
        if self.bounds:
            return all(_compare(name, value, bound) for name, bound in self.bounds)
        return any(_equal(value, option) for option in self.options)


def parse(where: Where) -> list[Condition]:
    """Check a filter such as `{"gender": "Women", "baseColour": ["Red", "Pink"], "year": {"gte": 2012}}`.

    All fields must match. A number in the filter also matches text that spells it, as CSV files hold numbers.

    Raises:
        InputError: if it isn't such a mapping.
    """
    if not isinstance(where, Mapping):
        raise errors.InputError(
            f"where={where!r} is not a mapping of fields to conditions, for example {{'gender': 'Women'}}"
        )
    return [_condition(field, wanted) for field, wanted in where.items()]


def _condition(field: str, wanted: object) -> Condition:
    if isinstance(wanted, Mapping):
        unknown = [name for name in wanted if name not in COMPARISONS]
        if unknown or not wanted:
            raise errors.InputError(
                f"where[{field!r}]={dict(wanted)!r}: the comparisons are {', '.join(COMPARISONS)}; "
                "for equality give the value itself, for one of several a list"
            )
        bounds = tuple((name, plain(bound, field)) for name, bound in wanted.items())
        for name, bound in bounds:
            if bound is None or isinstance(bound, bool):
                raise errors.InputError(
                    f"where[{field!r}] compares with {bound!r}; give a number or text to {name!r}"
                )
        return Condition(field, bounds=bounds)
    if isinstance(wanted, Collection) and not isinstance(wanted, str | bytes):
        options = tuple(plain(option, field) for option in wanted)
        if not options:
            raise errors.InputError(
                f"where[{field!r}] is an empty list, which nothing matches; leave the field out"
            )
        return Condition(field, options=options)
    return Condition(field, options=(plain(wanted, field),))


def as_number(value: Value) -> float | None:
    """Return a number, or the number that text spells; None for anything else."""
    if is_number(value):
        return value
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def is_number(value: Value) -> TypeGuard[float]:
    """Return whether a value is a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(value: Value, option: Value) -> bool:
    if is_number(option):
        return as_number(value) == option
    return type(value) is type(option) and value == option


def _compare(name: str, value: Value, bound: Value) -> bool:
    compare = COMPARISONS[name]
    if is_number(bound):
        number = as_number(value)
        return number is not None and compare(number, bound)
    return isinstance(value, str) and compare(value, bound)

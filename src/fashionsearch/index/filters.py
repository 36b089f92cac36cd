"""Filters on metadata: `where` is parsed once into a small tree of conditions, which each engine evaluates its own way."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from fashionsearch import errors
from fashionsearch.values import FALSE, TRUE, Value, is_number, plain_value, read_text

Where: TypeAlias = Mapping[str, Any]

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_NUMBER = re.compile(r"\s*[-+]?(?=\.?\d)\d*(\.\d*)?([eE][-+]?\d+)?\s*")


@dataclass(frozen=True)
class OneOf:
    """A field's value equals one of `options`.

    A number or a boolean also equals text that spells it, because older files hold them as text; and the other way round.
    """

    field: str
    options: tuple[Value, ...]

    def holds(self, value: Value) -> bool:
        """Return whether a stored value meets the condition; a missing one counts as None."""
        return any(_equal(value, option) for option in self.options)


@dataclass(frozen=True)
class Range:
    """A field's value meets every comparison in `bounds`, each a name such as "gte" and a number or text."""

    field: str
    bounds: tuple[tuple[str, str | int | float], ...]

    def holds(self, value: Value) -> bool:
        """Return whether a stored value meets the condition; None meets no comparison."""
        return all(_compare(name, value, bound) for name, bound in self.bounds)


@dataclass(frozen=True)
class AllOf:
    """All of the conditions are met; without any, everything is."""

    conditions: tuple[Condition, ...]


Condition: TypeAlias = "OneOf | Range | AllOf"


def parse(where: Where | None) -> AllOf | None:
    """Check a filter such as `{"gender": "Women", "baseColour": ["Red", "Pink"], "year": {"gte": 2012}}`.

    Returns:
        `AllOf` with a `OneOf` or a `Range` for each field; None for no filter.

    Raises:
        InputError: if it isn't such a mapping.

    Examples:
        >>> parse({"gender": "Women", "year": {"gte": 2012}}).conditions
        (OneOf(field='gender', options=('Women',)), Range(field='year', bounds=(('gte', 2012),)))
    """
    if where is None:
        return None
    if not isinstance(where, Mapping):
        raise errors.InputError(
            f"where={where!r} is not a mapping of fields to conditions, for example {{'gender': 'Women'}}"
        )
    return AllOf(tuple(_field_condition(field, wanted) for field, wanted in where.items()))


def leaves(condition: Condition) -> Iterator[OneOf | Range]:
    """Yield the conditions on single fields."""
    if isinstance(condition, AllOf):
        for part in condition.conditions:
            yield from leaves(part)
    else:
        yield condition


def nothing_fits(condition: Condition, commonest: Callable[[str, int], list[Value]]) -> str:
    """Return what to tell of a filter that no item fits: what was asked of each field, and what it holds.

    Args:
        condition: the filter.
        commonest: returns a field's commonest values, at most so many.
    """
    told = []
    for leaf in leaves(condition):
        held = ", ".join(map(repr, commonest(leaf.field, 5))) or "None alone"
        if isinstance(leaf, OneOf):
            asked = " or ".join(map(repr, leaf.options[:5])) + (" or …" if len(leaf.options) > 5 else "")
        else:
            asked = ", ".join(f"{name} {bound!r}" for name, bound in leaf.bounds)
        told.append(f"{leaf.field!r} was to be {asked}, and holds most often {held}")
    return f"no item fits the filter: {'; '.join(told)}"


def _field_condition(field: object, wanted: object) -> Condition:
    if not isinstance(field, str):
        raise errors.InputError(f"where names the field {field!r}; a field's name is text")
    if isinstance(wanted, Mapping):
        return Range(field, _bounds(field, wanted))
    is_scalar = isinstance(wanted, str | bytes) or getattr(wanted, "ndim", None) == 0
    if isinstance(wanted, Collection) and not is_scalar:
        options = tuple(plain_value(option, field) for option in wanted)
        if not options:
            raise errors.InputError(
                f"where[{field!r}] is an empty list, which nothing matches; leave the field out"
            )
        return OneOf(field, options)
    return OneOf(field, (plain_value(wanted, field),))


def _bounds(field: str, wanted: Mapping[Any, object]) -> tuple[tuple[str, str | int | float], ...]:
    unknown = [name for name in wanted if name not in COMPARISONS]
    if unknown or not wanted:
        raise errors.InputError(
            f"where[{field!r}]={dict(wanted)!r}: the comparisons are {', '.join(COMPARISONS)}; "
            "for equality give the value itself, for one of several a list"
        )
    bounds = []
    for name, given in wanted.items():
        bound = plain_value(given, field)
        if bound is None or isinstance(bound, bool):
            raise errors.InputError(
                f"where[{field!r}] compares with {bound!r}; give a number or text to {name!r}"
            )
        bounds.append((name, bound))
    return tuple(bounds)


def as_number(value: Value) -> int | float | None:
    """Return a number, or the number that text spells; None for anything else."""
    if is_number(value):
        return value
    found = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    try:
        return float(found[0]) if found[1] or found[2] else int(found[0])
    except ValueError:  # thousands of digits
        return None


def _equal(value: Value, option: Value) -> bool:
    if is_number(option):
        return as_number(value) == option
    if isinstance(option, bool):
        return value is option or (isinstance(value, str) and value in (TRUE if option else FALSE))
    if isinstance(option, str) and isinstance(value, int | float):
        spelled = read_text(option)
        return isinstance(spelled, bool) is isinstance(value, bool) and spelled == value
    return type(value) is type(option) and value == option


def _compare(name: str, value: Value, bound: str | int | float) -> bool:
    if isinstance(bound, str) and is_number(value):
        spelled = read_text(bound)
        return is_number(spelled) and bool(COMPARISONS[name](value, spelled))
    if isinstance(bound, str):
        return isinstance(value, str) and bool(COMPARISONS[name](value, bound))
    number = as_number(value)
    return number is not None and bool(COMPARISONS[name](number, bound))

"""Filters on metadata: `where` is parsed once into a small tree of conditions, which each engine evaluates its own way.

A condition on a field is true or false of every row, of one that lacks the field too: only `Exists` with `there=False`,
`OneOf` with None among its options, and `Not` are true of such a row.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from fashionsearch import errors
from fashionsearch.values import FALSE, TRUE, Value, is_number, plain_value, read_text

Where: TypeAlias = Mapping[str, Any]

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_ASKED = ("contains", "exists", "not")
_COMBINING = ("and", "or", "not")
_DEEPEST = 20
_TOLD = 5  # values of a field that a warning names
_WORD = re.compile(r"\w+")
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

    def __str__(self) -> str:
        return " or ".join(map(repr, self.options[:5])) + (" or …" if len(self.options) > 5 else "")


@dataclass(frozen=True)
class Range:
    """A field's value meets every comparison in `bounds`, each a name such as "gte" and a number or text."""

    field: str
    bounds: tuple[tuple[str, str | int | float], ...]

    def holds(self, value: Value) -> bool:
        """Return whether a stored value meets the condition; None meets no comparison."""
        return all(_compare(name, value, bound) for name, bound in self.bounds)

    def __str__(self) -> str:
        return ", ".join(f"{name} {bound!r}" for name, bound in self.bounds)


@dataclass(frozen=True)
class Contains:
    """A field's text holds all of `words`, each as a whole word, whatever its case."""

    field: str
    words: tuple[str, ...]

    def holds(self, value: Value) -> bool:
        """Return whether a stored value meets the condition; what isn't text holds no words."""
        return isinstance(value, str) and set(self.words) <= set(words_of(value))

    def __str__(self) -> str:
        return f"text with {' and '.join(map(repr, self.words))}"


@dataclass(frozen=True)
class Exists:
    """A field has a value other than None, or has none where `there` is False."""

    field: str
    there: bool

    def holds(self, value: Value) -> bool:
        """Return whether a stored value meets the condition; a missing one counts as None."""
        return (value is not None) is self.there

    def __str__(self) -> str:
        return "anything" if self.there else "missing"


C = TypeVar("C", covariant=True)


@dataclass(frozen=True)
class AllOf(Generic[C]):
    """All of the conditions are met; without any, everything is."""

    conditions: tuple[C, ...]


@dataclass(frozen=True)
class AnyOf(Generic[C]):
    """At least one of the conditions is met."""

    conditions: tuple[C, ...]


@dataclass(frozen=True)
class Not(Generic[C]):
    """The condition isn't met: also by a row that lacks the field."""

    condition: C


Leaf: TypeAlias = "OneOf | Range | Contains | Exists"
Condition: TypeAlias = "Leaf | AllOf[Condition] | AnyOf[Condition] | Not[Condition]"


def parse(where: Where | None) -> Condition | None:
    """Check a filter such as `{"gender": "Women", "baseColour": ["Red", "Pink"], "year": {"gte": 2012}}`.

    Each field has a value, a list of values, or a mapping of "gt", "gte", "lt", "lte", "contains" (words), "exists" (True or
    False) and "not" (a value, a list or such a mapping). Beside fields stand "and" and "or" with lists of filters, and "not"
    with a filter.

    Returns:
        `AllOf` of what each key asks; None for no filter.

    Raises:
        InputError: if it isn't such a mapping.

    Examples:
        >>> parse({"gender": "Women", "year": {"gte": 2012}}).conditions
        (OneOf(field='gender', options=('Women',)), Range(field='year', bounds=(('gte', 2012),)))
        >>> either = {"or": [{"title": {"contains": "Red dress"}}, {"not": {"price": {"exists": True}}}]}
        >>> parse(either).conditions[0].conditions
        (Contains(field='title', words=('red', 'dress')), Not(condition=Exists(field='price', there=True)))
    """
    if where is None:
        return None
    if not isinstance(where, Mapping):
        raise errors.InputError(
            f"where={where!r} is not a mapping of fields to conditions, for example {{'gender': 'Women'}}"
        )
    return AllOf(tuple(_condition(name, wanted, _DEEPEST) for name, wanted in where.items()))


def leaves(condition: Condition, *, negated: bool = False) -> Iterator[tuple[Leaf, bool]]:
    """Yield the conditions on single fields, and whether each is to be false."""
    if isinstance(condition, Not):
        yield from leaves(condition.condition, negated=not negated)
    elif isinstance(condition, AllOf | AnyOf):
        for part in condition.conditions:
            yield from leaves(part, negated=negated)
    else:
        yield condition, negated


def lacking(condition: Condition, fields: Collection[str]) -> Condition | bool:
    """Return what is left of a condition among rows that all lack some fields; True or False where that decides it.

    Examples:
        >>> condition = parse({"year": 2012, "price": {"exists": False}})
        >>> lacking(condition, {"price"}), lacking(condition, {"year"})
        (AllOf(conditions=(OneOf(field='year', options=(2012,)),)), False)
    """
    if isinstance(condition, Not):
        inner = lacking(condition.condition, fields)
        return not inner if isinstance(inner, bool) else Not(inner)
    if isinstance(condition, AllOf | AnyOf):
        decisive = isinstance(condition, AnyOf)
        parts = [lacking(part, fields) for part in condition.conditions]
        if any(part is decisive for part in parts):
            return decisive
        rest = tuple(part for part in parts if not isinstance(part, bool))
        return (AnyOf(rest) if decisive else AllOf(rest)) if rest else not decisive
    return condition.holds(None) if condition.field in fields else condition


def words_of(text: str) -> list[str]:
    """Return the words of a text, in lower case: runs of letters, digits and underscores.

    Examples:
        >>> words_of("Puma Men's T-shirt")
        ['puma', 'men', 's', 't', 'shirt']
    """
    return _WORD.findall(text.casefold())


def nothing_fits(condition: Condition, counts: Callable[[str, None, int], list[tuple[Value, int]]]) -> str:
    """Return what to tell of a filter that no item fits: what was asked of each field, and what it holds.

    Args:
        condition: the filter.
        counts: returns a field's commonest values with how many items have each, at most so many.
    """
    told = []
    for leaf, negated in leaves(condition):
        held = ", ".join(repr(value) for value, _ in counts(leaf.field, None, _TOLD)) or "None alone"
        asked = f"{'not ' if negated else ''}{leaf}"
        told.append(f"{leaf.field!r} was to be {asked}, and holds most often {held}")
    return f"no item fits the filter: {'; '.join(told)}"


def _condition(name: object, wanted: object, deep: int) -> Condition:
    if name not in _COMBINING:
        return _field_condition(name, wanted, deep)
    if not deep:
        raise errors.InputError(f"where is nested more than {_DEEPEST} deep; write it flatter")
    parts = [wanted] if name == "not" else wanted
    if (
        not isinstance(parts, list | tuple)
        or not all(isinstance(part, Mapping) for part in parts)
        or not parts
    ):
        example = "{'gender': 'Women'}" if name == "not" else "[{'gender': 'Women'}, {'baseColour': 'Red'}]"
        raise errors.InputError(
            f"where[{name!r}]={wanted!r:.200} is not a {'filter' if name == 'not' else 'list of filters'} such as {example}; "
            "a field of that name can be asked for in no filter"
        )
    found = tuple(AllOf(tuple(_condition(each, part[each], deep - 1) for each in part)) for part in parts)
    inner = tuple(each.conditions[0] if len(each.conditions) == 1 else each for each in found)
    if name == "not":
        return Not(inner[0])
    return AllOf(inner) if name == "and" else AnyOf(inner)


def _field_condition(field: object, wanted: object, deep: int) -> Condition:
    if not isinstance(field, str):
        raise errors.InputError(f"where names the field {field!r}; a field's name is text")
    if isinstance(wanted, Mapping):
        return _asked_of(field, wanted, deep)
    is_scalar = isinstance(wanted, str | bytes) or getattr(wanted, "ndim", None) == 0
    if isinstance(wanted, Collection) and not is_scalar:
        options = tuple(plain_value(option, field) for option in wanted)
        if not options:
            raise errors.InputError(
                f"where[{field!r}] is an empty list, which nothing matches; leave the field out"
            )
        return OneOf(field, options)
    return OneOf(field, (plain_value(wanted, field),))


def _asked_of(field: str, wanted: Mapping[Any, object], deep: int) -> Condition:
    """Return the condition that a mapping such as `{"gte": 5, "exists": True}` is of a field."""
    unknown = [name for name in wanted if name not in (*COMPARISONS, *_ASKED)]
    if unknown or not wanted:
        raise errors.InputError(
            f"where[{field!r}]={dict(wanted)!r}: the comparisons are {', '.join((*COMPARISONS, *_ASKED))}; "
            "for equality give the value itself, for one of several a list"
        )
    bounds = {name: bound for name, bound in wanted.items() if name in COMPARISONS}
    found: list[Condition] = [Range(field, _bounds(field, bounds))] if bounds else []
    if "contains" in wanted:
        found.append(Contains(field, _words(field, wanted["contains"])))
    if "exists" in wanted:
        if not isinstance(wanted["exists"], bool):
            raise errors.InputError(
                f"where[{field!r}] asks for exists={wanted['exists']!r}; give True or False"
            )
        found.append(Exists(field, wanted["exists"]))
    if "not" in wanted:
        if not deep:
            raise errors.InputError(f"where is nested more than {_DEEPEST} deep; write it flatter")
        found.append(Not(_field_condition(field, wanted["not"], deep - 1)))
    return found[0] if len(found) == 1 else AllOf(tuple(found))


def _words(field: str, wanted: object) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(words_of(wanted))) if isinstance(wanted, str) else ()
    if not words:
        raise errors.InputError(
            f"where[{field!r}] is to contain {wanted!r}, in which there is no word; give text such as 'red dress'"
        )
    return words


def _bounds(field: str, wanted: Mapping[Any, object]) -> tuple[tuple[str, str | int | float], ...]:
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

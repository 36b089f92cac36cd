"""Metadata as a database of another maker compares it: each value with the readings that filters ask for.

A filter of ours takes "3" for 3 where older files hold numbers as text, and compares texts by code points. No database does
that by itself, so each value is stored as a few typed readings, and a filter becomes plain comparisons of these:

```text
value    a letter for the type, and the value as text: "tRed", "i3", "f0.5", "btrue"; nothing for None
number   of a number, and of text that spells one
real     of a number alone
words    of text
```
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from fashionsearch.index.filters import (
    AllOf,
    AnyOf,
    Condition,
    Contains,
    Exists,
    Leaf,
    Not,
    Range,
    as_number,
    words_of,
)
from fashionsearch.index.rows import PRIVATE
from fashionsearch.values import FALSE, TRUE, Value, is_number, read_text

VALUE, NUMBER, REAL, WORDS = "value", "number", "real", "words"

# Databases take neither NUL nor half a surrogate pair in text. Each becomes two characters, in the same order of texts.
_LOW, _HIGH = "\x01", "\ud7ff"
_FOREIGN = re.compile("[\x00\x01\ud7ff-\udfff]")
_ESCAPED = re.compile(f"[{_LOW}{_HIGH}](.)", re.DOTALL)
_EXACT = 2**53  # whole numbers up to this size are the same as floats
_ENDLESS = 10**4200  # stands for infinity, which text such as "1e999" spells
_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9]")


@dataclass(frozen=True)
class Among:
    """One of a field's readings equals one of `values`."""

    field: str
    reading: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Between:
    """One of a field's readings meets every comparison in `bounds`."""

    field: str
    reading: str
    bounds: tuple[tuple[str, Any], ...]


Test: TypeAlias = "Among | Between | Exists | AllOf[Test] | AnyOf[Test] | Not[Test]"


def plain(text: str) -> str:
    r"""Return a text without NUL and without half surrogate pairs, in the same order among such texts as the original.

    Examples:
        >>> plain("Red"), plain("a\0b"), restored(plain("a\0b")) == "a\0b"
        ('Red', 'a\x01\x01b', True)
    """
    return _FOREIGN.sub(
        lambda found: (
            _LOW + chr(ord(found[0]) + 1) if found[0] <= _LOW else _HIGH + chr(ord(found[0]) - ord(_HIGH) + 1)
        ),
        text,
    )


def restored(text: str) -> str:
    """Return the text of which `plain` made this one."""
    return _ESCAPED.sub(
        lambda found: chr(ord(found[1]) - 1 + (0 if found[0][0] == _LOW else ord(_HIGH))), text
    )


def key(field: str) -> str:
    """Return a field's name in letters, digits and underscores alone.

    Examples:
        >>> key("base colour"), name(key("base colour"))
        ('base_20_colour', 'base colour')
    """
    return _NOT_IN_A_KEY.sub(lambda found: f"_{ord(found[0]):x}_", field)


def name(key: str) -> str:
    """Return the field of which `key` made this."""
    return re.sub("_([0-9a-f]+)_", lambda found: chr(int(found[1], 16)), key)


def encoded(value: str | int | float | bool) -> str:
    """Return a value as text that tells its type; texts keep their order.

    Examples:
        >>> encoded("Red"), encoded(3), encoded(True), decoded("f0.5")
        ('tRed', 'i3', 'btrue', 0.5)
    """
    if isinstance(value, str):
        return "t" + plain(value)
    if isinstance(value, bool):
        return "btrue" if value else "bfalse"
    return f"i{value}" if isinstance(value, int) else f"f{value!r}"


def decoded(text: str) -> str | int | float | bool:
    """Return the value of which `encoded` made this text.

    Raises:
        ValueError: if it didn't.
    """
    kind, rest = text[:1], text[1:]
    if kind == "t":
        return restored(rest)
    if kind == "b" and rest in ("true", "false"):
        return rest == "true"
    if kind in ("i", "f"):
        return int(rest) if kind == "i" else float(rest)
    raise ValueError(f"{text[:40]!r} is no value of this library")


def readings(metadata: Mapping[str, Value]) -> dict[str, dict[str, Any]]:
    """Return the readings of each field, by its key; `metadata_of` returns the metadata.

    Examples:
        >>> readings({"colour": "Red", "year": 2012, "price": None})["year"]
        {'value': 'i2012', 'number': 2012, 'real': 2012}
    """
    return {key(field): _readings(value, field) for field, value in metadata.items()}


def _readings(value: Value, field: str) -> dict[str, Any]:
    found: dict[str, Any] = {} if value is None else {VALUE: encoded(value)}
    if field.startswith(PRIVATE):  # no filter asks for these
        return found
    number = as_number(value)
    if number is not None:
        found[NUMBER] = _exact(number)
    if is_number(value):
        found[REAL] = _exact(value)
    if isinstance(value, str):
        found[WORDS] = list(dict.fromkeys(words_of(value)))
    return found


def _exact(number: int | float) -> int | float:
    """Return a number such that its decimal digits are all of it: large floats are whole numbers."""
    if isinstance(number, int) or abs(number) <= _EXACT:
        return number
    return int(number) if math.isfinite(number) else (_ENDLESS if number > 0 else -_ENDLESS)


def is_large(number: int | float) -> bool:
    """Return whether 64-bit floats can't tell a number from its neighbours."""
    return abs(number) > _EXACT


def metadata_of(stored: Mapping[str, Mapping[str, Any]], *, private: bool = False) -> dict[str, Value]:
    """Return the metadata whose readings these are; the library's own fields where asked for.

    Raises:
        ValueError: if they are not what `readings` returns.
    """
    fields = {name(key): found for key, found in stored.items()}
    return {
        field: decoded(found[VALUE]) if VALUE in found else None
        for field, found in fields.items()
        if private or not field.startswith(PRIVATE)
    }


def typed(condition: Condition) -> Test:
    """Return a filter as comparisons of readings, which are true or false of each row, of one that lacks the field too.

    Examples:
        >>> from fashionsearch.index.filters import OneOf
        >>> typed(OneOf("year", ("2012",))).conditions
        (Among(field='year', reading='value', values=('t2012',)), Among(field='year', reading='real', values=(2012,)))
    """
    if isinstance(condition, Not):
        return Not(typed(condition.condition))
    if isinstance(condition, AllOf):
        return AllOf(tuple(typed(part) for part in condition.conditions))
    if isinstance(condition, AnyOf):
        return AnyOf(tuple(typed(part) for part in condition.conditions))
    return _of_field(condition)


def _of_field(leaf: Leaf) -> Test:
    field = leaf.field
    if isinstance(leaf, Exists):
        return leaf
    if isinstance(leaf, Contains):
        return AllOf(tuple(Among(field, WORDS, (word,)) for word in leaf.words))
    if isinstance(leaf, Range):
        return AllOf(tuple(_compared(field, *bound) for bound in leaf.bounds))
    wanted: dict[str, list[Any]] = {VALUE: [], NUMBER: [], REAL: []}
    for option in leaf.options:
        if is_number(option):
            wanted[NUMBER].append(_exact(option))
        elif isinstance(option, bool):
            wanted[VALUE] += [encoded(option), *map(encoded, TRUE if option else FALSE)]
        elif isinstance(option, str):
            spelled = read_text(option)
            wanted[VALUE].append(encoded(option))
            if isinstance(spelled, bool):
                wanted[VALUE].append(encoded(spelled))
            elif is_number(spelled):
                wanted[REAL].append(_exact(spelled))
    tests: list[Test] = [Among(field, reading, tuple(values)) for reading, values in wanted.items() if values]
    if None in leaf.options:
        tests.append(Exists(field, there=False))
    return AnyOf(tuple(tests))


def _compared(field: str, comparison: str, bound: str | int | float) -> Test:
    if not isinstance(bound, str):
        return Between(field, NUMBER, ((comparison, _exact(bound)),))
    # All texts lie from "t" to before "u".
    end = ("lt", "u") if comparison in ("gt", "gte") else ("gte", "t")
    by_text = Between(field, VALUE, ((comparison, encoded(bound)), end))
    spelled = read_text(bound)
    if not is_number(spelled):
        return by_text
    return AnyOf((by_text, Between(field, REAL, ((comparison, _exact(spelled)),))))

"""The fields of a catalogue's metadata: which of them make filters, and which one is the items' title."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from fashionsearch.index.items import first_fields
from fashionsearch.values import Value, is_number

if TYPE_CHECKING:
    from fashionsearch.index import VisualIndex

_SAMPLE = 200  # items whose metadata tells which fields there are
_MOST_FIELDS = 10
_MOST_VALUES = 200  # a text field of more is a name, and no filter
_FEW = 12  # numbers that are so few are chosen one by one
_TITLES = ("title", "name", "productdisplayname", "productname", "description")


@dataclass(frozen=True)
class Field:
    """A metadata field by which items are chosen.

    Attributes:
        name: of the field.
        values: what is shown of each value -> the values that look so, the commonest first; none of numbers that are many.
        low: the smallest number, where numbers are many.
        high: the largest, likewise.
    """

    name: str
    values: Mapping[str, tuple[Value, ...]]
    low: float | None = None
    high: float | None = None

    @property
    def is_range(self) -> bool:
        """Whether a smallest and a largest number are asked for, and no values."""
        return self.low is not None


@dataclass(frozen=True)
class Fields:
    """What a catalogue's metadata offers to the page.

    Attributes:
        filters: name -> field.
        title: the field that names an item, or None: its id does.
    """

    filters: Mapping[str, Field]
    title: str | None


def fields_of(index: VisualIndex) -> Fields:
    """Return what an index's metadata offers, as some of its items show which fields there are."""
    names = first_fields(index, _SAMPLE)
    filters: dict[str, Field] = {}
    titles: dict[str, int] = {}
    for name in names:
        counts = index.facets(name)
        kinds = [value for value in counts if value is not None]
        if not kinds:
            continue
        if all(is_number(value) for value in kinds) and len(kinds) > _FEW:
            numbers = [float(value) for value in kinds if is_number(value)]
            filters[name] = Field(name, {}, min(numbers), max(numbers))
        elif len(kinds) <= _MOST_VALUES and (len(kinds) <= _FEW or 2 * len(kinds) < sum(counts.values())):
            filters[name] = Field(name, _by_look(kinds))
        elif all(isinstance(value, str) for value in kinds):
            titles[name] = len(kinds)
    return Fields(dict(islice(filters.items(), _MOST_FIELDS)), _title(titles))


def words_of(name: str) -> str:
    """Return a field's name as words.

    Examples:
        >>> words_of("baseColour"), words_of("sub_category"), words_of("MRP")
        ('Base colour', 'Sub category', 'MRP')
    """
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").split()
    small = [part if part.isupper() and len(part) > 1 else part.lower() for part in parts]
    words = " ".join(small) or name
    return words[:1].upper() + words[1:]


def look(value: object) -> str:
    """Return what is shown of a value.

    Examples:
        >>> look("Red"), look(True), look(2012.0), look(0.5)
        ('Red', 'Yes', '2012', '0.5')
    """
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)


def _by_look(values: Sequence[Value]) -> dict[str, tuple[Value, ...]]:
    found: dict[str, tuple[Value, ...]] = {}
    for value in values:
        if words := look(value):
            found[words] = (*found.get(words, ()), value)
    return found


def _title(candidates: Mapping[str, int]) -> str | None:
    """Return the field that names items: one that is called so, else the one that tells most items apart."""
    named = [name for title in _TITLES for name in candidates if name.lower().replace("_", "") == title]
    return next(iter(named), None) or max(candidates, key=lambda name: candidates[name], default=None)

"""What a visitor asks for, read from what the browser sent; nothing of it is believed before it was checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fashionsearch import errors
from fashionsearch.app.catalogue import Catalogue
from fashionsearch.app.fields import Field, look, words_of

_MOST_PAIRS, _LONGEST = 1000, 1000
_SHARES = ("text_weight", "least", "diversity")


@dataclass(frozen=True)
class Wishes:
    """What a visitor asks for beside a photo and what was liked.

    Attributes:
        text: what is wanted in words.
        where: field -> what is shown of the values that are wanted.
        between: field -> the smallest and the largest number that are wanted; None is any.
        towards: attribute -> the class that is wanted.
        text_weight: what the words count beside a photo, from 0 to 1.
        least: from 0 to 1, the smallest likeness, or the smallest chance where the index is calibrated.
        diversity: from 0 to 1, how varied the answer is to be.
    """

    text: str = ""
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    between: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    towards: Mapping[str, str] = field(default_factory=dict)
    text_weight: float = 0.5
    least: float = 0.0
    diversity: float = 0.0

    def filters(self, fields: Mapping[str, Field], *, without: str | None = None) -> dict[str, Any] | None:
        """Return the filter, as `VisualIndex.search` takes it; None where all items fit.

        Args:
            fields: of the catalogue.
            without: a field that is left out, to count its values.
        """
        found: dict[str, Any] = {}
        for name, chosen in self.where.items():
            if name in fields and name != without:
                found[name] = [value for each in chosen for value in fields[name].values.get(each, ())]
        for name, (low, high) in self.between.items():
            bounds = {"gte": low, "lte": high}
            if name != without:
                found[name] = {sign: bound for sign, bound in bounds.items() if bound is not None}
        return found or None


def pairs_of(form: object) -> list[tuple[str, str]]:
    """Return the names and values of a form.

    Raises:
        InputError: if it is anything else than a list of pairs of texts.
    """
    if not isinstance(form, list) or len(form) > _MOST_PAIRS:
        raise errors.InputError("the page sent something else than a form; load it again")
    for pair in form:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(each, str) for each in pair)):
            raise errors.InputError("the page sent something else than a form; load it again")
        if len(pair[1]) > _LONGEST:
            raise errors.InputError(f"a text has {len(pair[1]):,} letters; write at most {_LONGEST:,}")
    return [(name, value) for name, value in form]


def wishes_of(form: object, catalogue: Catalogue) -> Wishes:
    """Return what a form asks for.

    Raises:
        InputError: if it asks for what the catalogue doesn't have.
    """
    filters = catalogue.fields.filters
    where: dict[str, tuple[str, ...]] = {}
    bounds: dict[str, dict[str, float | None]] = {}
    towards: dict[str, str] = {}
    shares = {"text_weight": 0.5, "least": 0.0, "diversity": 0.0}
    text = ""
    for name, value in pairs_of(form):
        kind, _, about = name.partition(":")
        if name == "text":
            text = value.strip()
        elif name in _SHARES:
            shares[name] = _share(name, value)
        elif kind == "where" and about in filters and value in filters[about].values:
            where[about] = tuple(dict.fromkeys([*where.get(about, ()), value]))
        elif kind in ("from", "to") and about in filters and filters[about].is_range:
            bounds.setdefault(about, {})[kind] = _number(about, value)
        elif kind == "towards" and not value:
            continue
        elif kind == "towards" and value in catalogue.classes.get(about, ()):
            towards[about] = value
        else:
            raise errors.InputError(
                f"this catalogue has no {look(value)!r:.60} in {about or name!r:.60}; load the page again"
            )
    between = {name: (each.get("from"), each.get("to")) for name, each in bounds.items() if _any(each)}
    return Wishes(text, where, between, towards, **shares)


def _any(bounds: Mapping[str, float | None]) -> bool:
    return any(bound is not None for bound in bounds.values())


def _number(name: str, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise errors.InputError(f"{words_of(name)}: {text!r:.40} is not a number")
    return number


def _share(name: str, text: str) -> float:
    number = _number(name, text)
    if number is None or not 0 <= number <= 1:
        raise errors.InputError(f"{words_of(name)}: {text!r:.40} is not a number from 0 to 1")
    return number

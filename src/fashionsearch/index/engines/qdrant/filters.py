"""Filters as Qdrant takes them: its own objects, so that no value can be taken for anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fashionsearch.index.engines.qdrant.points import exact
from fashionsearch.index.filters import AllOf, AnyOf, Condition, Exists, Leaf, Not, Range
from fashionsearch.index.readings import NUMBER, REAL, VALUE, Among, Between, Test, is_large, key, typed

if TYPE_CHECKING:
    from qdrant_client import models


def payload_key(field: str, reading: str) -> str:
    """Return the path of a field's reading in a payload."""
    return f"fields.{key(field)}.{reading}"


def needs_values(leaf: Leaf, *, has_large: bool) -> bool:
    """Return whether Qdrant can't compare what a condition asks: the order of texts, or of whole numbers beyond 2^53.

    Args:
        leaf: a condition on a field.
        has_large: whether the field holds such numbers.
    """
    if not isinstance(leaf, Range):
        return False
    return has_large or any(isinstance(bound, str) or is_large(bound) for _, bound in leaf.bounds)


def rendered(condition: Condition, decided: Mapping[Any, tuple[str, ...]]) -> models.Filter:
    """Return a condition as a filter.

    Args:
        condition: of metadata.
        decided: for conditions on a field that Qdrant can't compare, the values, as `encoded`, that meet them.
    """
    from qdrant_client import models

    def joined(condition: Condition) -> models.Filter:
        if isinstance(condition, Not):
            return models.Filter(must_not=[joined(condition.condition)])
        if isinstance(condition, AllOf):
            return models.Filter(must=[joined(part) for part in condition.conditions])
        if isinstance(condition, AnyOf):
            return models.Filter(should=[joined(part) for part in condition.conditions])
        if condition in decided:
            return of(Among(condition.field, VALUE, decided[condition]))
        return of(typed(condition))

    def of(test: Test) -> models.Filter:
        if isinstance(test, AllOf):
            return models.Filter(must=[of(part) for part in test.conditions])
        if isinstance(test, AnyOf):
            return models.Filter(should=[of(part) for part in test.conditions])
        if isinstance(test, Not):
            return models.Filter(must_not=[of(test.condition)])
        if isinstance(test, Exists):
            field = models.PayloadField(key=payload_key(test.field, VALUE))
            empty = models.IsEmptyCondition(is_empty=field)
            return models.Filter(must_not=[empty]) if test.there else models.Filter(must=[empty])
        path = payload_key(test.field, test.reading)
        if isinstance(test, Between):
            bounds: dict[str, Any] = {name: float(bound) for name, bound in test.bounds}
            return models.Filter(must=[models.FieldCondition(key=path, range=models.Range(**bounds))])
        if test.reading in (NUMBER, REAL):  # Qdrant matches whole numbers and texts only
            tests: list[Any] = [
                models.FieldCondition(key=path, range=models.Range(gte=float(value), lte=float(value)))
                for value in test.values
                if not is_large(value)
            ]
            large = [str(value) for value in test.values if is_large(value)]
            if large:
                path = payload_key(test.field, exact(test.reading))
                tests.append(models.FieldCondition(key=path, match=models.MatchAny(any=large)))
            return models.Filter(should=tests)
        return models.Filter(
            must=[models.FieldCondition(key=path, match=models.MatchAny(any=list(test.values)))]
        )

    return joined(condition)

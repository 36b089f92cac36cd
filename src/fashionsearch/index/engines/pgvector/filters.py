"""Filters as PostgreSQL takes them: statements of fixed words, in which every field and value is a parameter."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from fashionsearch.index.filters import AllOf, AnyOf, Condition, Exists, Not
from fashionsearch.index.readings import VALUE, WORDS, Between, Test, key, typed

if TYPE_CHECKING:
    from psycopg.sql import Composable

_OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def rendered(condition: Condition | None) -> tuple[Composable, list[Any]]:
    """Return a condition as the words of a WHERE clause, and its parameters."""
    from psycopg import sql
    from psycopg.types.json import Jsonb

    def of(test: Test) -> tuple[Composable, list[Any]]:
        if isinstance(test, Not):
            words, values = of(test.condition)
            return sql.SQL("NOT ({})").format(words), values
        if isinstance(test, AllOf | AnyOf):
            parts = [of(part) for part in test.conditions]
            join = sql.SQL(" AND " if isinstance(test, AllOf) else " OR ")
            if not parts:
                return sql.SQL("true"), []
            words = sql.SQL("({})").format(join.join(part[0] for part in parts))
            return words, [value for part in parts for value in part[1]]
        if isinstance(test, Exists):
            there = sql.SQL("fields #>> %s IS NOT NULL" if test.there else "fields #>> %s IS NULL")
            return there, [[key(test.field), VALUE]]
        if isinstance(test, Between):
            return between(test)
        # Containment is what the index over `fields` answers.
        wanted = [
            Jsonb({key(test.field): {test.reading: [value] if test.reading == WORDS else value}})
            for value in test.values
        ]
        one = sql.SQL("fields @> %s")
        return sql.SQL("({})").format(sql.SQL(" OR ").join([one] * len(wanted))), list(wanted)

    def between(test: Between) -> tuple[Composable, list[Any]]:
        words, values = [], []
        for name, bound in test.bounds:
            operator = sql.SQL(_OPERATORS[name])
            if test.reading == VALUE:
                words.append(sql.SQL('coalesce((fields #>> %s) COLLATE "C" {} %s, false)').format(operator))
            else:
                words.append(sql.SQL("coalesce((fields #>> %s)::numeric {} %s, false)").format(operator))
                # By its digits, as it stands in JSON.
                bound = Decimal(repr(bound))
            values += [[key(test.field), test.reading], bound]
        return sql.SQL("({})").format(sql.SQL(" AND ").join(words)), values

    return (sql.SQL("true"), []) if condition is None else of(typed(condition))

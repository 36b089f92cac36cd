"""Filters decided for all values of a field at once: the same as one by one."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch.index.engines.column import Column
from fashionsearch.index.filters import parse

LARGE = 2**53
VALUES = [
    *("red", "Red", "", "38", "42.5", "-1", "1e400", "nan", "2012-05-01", str(LARGE + 1)),
    *(None, True, False, 0, 1, -1, 38, 2012, LARGE, LARGE + 1, LARGE + 2, -LARGE - 1, 10**400),
    *(0.0, 1.0, 38.5, -1e300, float(LARGE)),
]
BOUNDS = ["", "true", "-1", "1e400", 0, 38, 38.5, -1.0, LARGE, LARGE + 1, 10**400, -(10**400), "2012", "38"]


def column_of(values):
    column = Column()
    column.assign(np.arange(len(values)), values)
    return column


@pytest.mark.parametrize(
    "wanted",
    [
        *VALUES,
        *([value, 38, "red"] for value in VALUES),
        ["red", None],
        *({name: bound} for name in ("gt", "gte", "lt", "lte") for bound in BOUNDS),
        *({"gte": low, "lt": high} for low in BOUNDS for high in BOUNDS),
    ],
)
def test_all_at_once_equals_one_by_one(wanted):
    (condition,) = parse({"field": wanted}).conditions
    column = column_of(VALUES)
    assert column.verdicts(condition).tolist() == [condition.holds(value) for value in [*column.values, None]]


@pytest.mark.parametrize("wanted", [{"gte": 38}, {"gt": "2"}, ["red", 38, True]])
def test_values_that_come_and_go_between_filters(wanted):
    column = column_of(VALUES)
    (condition,) = parse({"field": wanted}).conditions
    for slot in range(6000):
        if column.is_wasteful:
            column = column.take(np.arange(len(VALUES)))
        column.assign(np.array([slot % 3]), [slot / 7 if slot % 2 else str(slot)])
        if slot % 1000 == 999:
            column.assign(np.array([3]), [LARGE + slot])
            met = column.verdicts(condition)[column.codes]
            codes = column.codes[: len(VALUES)].tolist()
            held = [code >= 0 and condition.holds(column.values[code]) for code in codes]
            assert met[: len(VALUES)].tolist() == held
    assert len(column.values) < 4000


def test_long_numbers_are_told_apart():
    index = fs.VisualIndex(dim=2)
    index.add_vectors(np.eye(2), metadata={"ean": [10**17 + 1, 10**17 + 2]})
    matches = index.search_vectors([1, 1], k=2, where={"ean": 10**17 + 2})
    assert (matches.ids[0, 0], matches.counts[0]) == (1, 1)

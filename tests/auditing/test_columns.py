"""Which columns are labels, and which photos are of one product."""

import numpy as np
import pytest

from fashionsearch import errors
from fashionsearch.auditing.columns import attributes_of, joined, order_of_parts, products_of, texts_of
from fashionsearch.datasets import Table

N = 60
TABLE = Table(
    [np.zeros((2, 2, 3), np.uint8)] * N,
    {
        "id": [f"{row % 3}" for row in range(N)],
        "kind": [f"kind {row % 4}" for row in range(N)],
        "title": [f"A very nice thing number {row % 5} to wear" for row in range(N)],
        "name": [f"name {row}" for row in range(N)],
        "year": [2010 + row % 3 for row in range(N)],
        "shop": ["ours"] * N,
        "colour": [("red", "blue", "")[row % 3] for row in range(N)],
        "part": [("train", "test")[row % 2] for row in range(N)],
    },
)


def test_labels_are_text_of_few_values_and_few_words():
    assert attributes_of(TABLE, None, ("part", None)) == ("kind", "colour")
    assert attributes_of(TABLE, "year", ()) == ("year",)


def test_a_column_of_one_value_or_none_that_looks_like_labels_is_refused():
    with pytest.raises(errors.DataError, match="'shop' has 1 known values"):
        attributes_of(TABLE, ["shop"], ())
    with pytest.raises(errors.DataError, match="no column looks like labels"):
        attributes_of(Table(TABLE.images, {"name": TABLE["name"]}), None, ())
    with pytest.raises(errors.DataError, match="rename it"):
        attributes_of(Table(TABLE.images, {"fault": TABLE["kind"]}), "fault", ())


def test_photos_without_a_product_are_alone():
    assert products_of(None, 3).tolist() == [0, 1, 2]
    numbers = products_of(np.array(["b", "", "b", ""]), 4)
    assert numbers[0] == numbers[2]
    assert len(set(numbers.tolist())) == 3


def test_pairs_join_products():
    numbers = joined(np.array([5, 5, 7, 8, 9]), [(1, 2), (3, 3)])
    assert numbers[0] == numbers[1] == numbers[2]
    assert len(set(numbers.tolist())) == 3


def test_what_is_learned_from_comes_first():
    assert order_of_parts(np.array(["test", "", "Train", "validation"])) == ["Train", "test", "validation"]
    assert texts_of(TABLE, None, "split") is None
    assert texts_of(TABLE, [None, *range(N - 1)], "group")[:2].tolist() == ["", "0"]

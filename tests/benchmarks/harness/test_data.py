"""The study's parts."""

import pytest
from harness import data

import fashionsearch as fs


def test_no_name_is_in_two_parts(table):
    parts = data.larger_parts(table)
    names = [set(part["productDisplayName"]) for part in (parts.train, parts.validation, parts.test)]
    assert not names[0] & names[1]
    assert not names[0] & names[2]
    assert not names[1] & names[2]
    assert sum(map(len, (parts.train, parts.validation, parts.test))) == len(table)
    twins = data.parts_by_photo(table)
    assert set(twins.train["productDisplayName"]) & set(twins.test["productDisplayName"])
    assert not set(twins.train["id"]) & set(twins.test["id"])


@pytest.mark.data
def test_the_studys_parts_are_the_studys(real_data):
    table = fs.datasets.load_fashion_products(real_data / "fashion-product-images-small")
    parts = data.study_parts(table)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [3200, 800, 1000]
    assert (parts.test["masterCategory"] == "Free Items").sum() == 3
    clothing = data.clothing_parts(real_data / "clothing-dataset-small")
    assert (len(clothing.test), clothing.splits[2]) == (341, "validation")
    assert not {*map(str, clothing.train.images)} & {*map(str, clothing.validation.images)}

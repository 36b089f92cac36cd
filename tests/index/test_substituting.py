"""What can stand in for an item."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors


@pytest.fixture
def index():
    made = fs.VisualIndex(dim=2)
    shop = {
        "name": ["tee", "tee", "top", "top", None],
        "stock": [0, 3, 2, 0, 1],
        "price": [20, 20, 30, 25, 90],
    }
    angles = np.array([0, 0.2, 0.45, 0.75, 1.1])
    made.add_vectors(np.stack([np.cos(angles), np.sin(angles)], axis=1), ids=list("abcde"), metadata=shop)
    return made


def ids(matches):
    return [match.id for match in matches[0]]


def test_the_item_itself_is_none(index):
    assert ids(index.substitutes("a")) == ["b", "c", "d", "e"]
    assert ids(index.substitutes("c", k=2)) == ["b", "d"]


def test_conditions_come_before_likeness(index):
    assert ids(index.substitutes("a", where={"stock": {"gte": 1}, "price": {"lte": 40}})) == ["b", "c"]
    assert ids(index.substitutes("a", where={"price": {"gt": 80}})) == ["e"]
    assert ids(index.substitutes("a", where={"stock": {"gte": 9}})) == []


def test_other_photos_of_the_product_are_none_and_each_other_product_is_shown_once(index):
    assert ids(index.substitutes("a", group_by="name")) == ["c", "e"]
    assert ids(index.substitutes("a", group_by="name", where={"stock": 0})) == ["d"]
    assert ids(index.substitutes("e", group_by="name")) == ["d", "b"]  # of no known product


def test_each_says_what_its_score_is_made_of(index):
    first = index.substitutes("a", k=1)[0][0]
    assert first.parts == {"item": pytest.approx(first.similarity)}


def test_bad_input_is_told(index):
    with pytest.raises(errors.UnknownIdError):
        index.substitutes("z")
    with pytest.raises(errors.InputError, match="Did you mean 'name'"):
        index.substitutes("a", group_by="nam")
    with pytest.raises(errors.InputError, match="group_by=3"):
        index.substitutes("a", group_by=3)
    with pytest.raises(errors.InputError, match="k=0"):
        index.substitutes("a", k=0)


def test_pages_of_substitutes_and_those_that_were_shown(index):
    assert ids(index.substitutes("a", k=2)) == ["b", "c"]
    assert ids(index.substitutes("a", k=2, offset=2)) == ["d", "e"]
    assert ids(index.substitutes("a", k=2, exclude=["b", "d"])) == ["c", "e"]
    assert ids(index.substitutes("a", k=1, offset=1, exclude="b", group_by="name")) == ["e"]

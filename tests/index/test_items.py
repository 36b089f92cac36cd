"""What an index holds under its ids, counted."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors


@pytest.fixture
def index():
    index = fs.VisualIndex(dim=2)
    rows = [
        {"colour": "Red", "price": 10, "title": "Red dress"},
        {"colour": "Blue", "price": 25.5, "title": "Blue dress"},
        {"colour": "Pink", "price": None, "title": "dressing gown"},
        {"colour": None, "price": 40},
        {},
    ]
    index.add_vectors(np.random.default_rng(0).normal(size=(5, 2)), metadata=rows)
    return index


def test_facets_count_what_a_filter_keeps(index):
    assert index.facets("colour") == {"Red": 1, "Blue": 1, "Pink": 1}
    assert index.facets("price", where={"title": {"contains": "dress"}}) == {10: 1, 25.5: 1}
    assert index.facets("price", where={"colour": "Pink"}) == {}
    assert list(fs.VisualIndex(dim=2).facets("colour")) == []
    with pytest.raises(errors.InputError, match=r"facets names the field 'color'.*Did you mean 'colour'"):
        index.facets("color")
    many = fs.VisualIndex(dim=2)
    many.add_vectors(np.ones((5, 2)), metadata={"kind": ["a", "b", "b", 1, 1.0]})
    assert list(many.facets("kind").items()) == [("b", 2), (1, 2), ("a", 1)]

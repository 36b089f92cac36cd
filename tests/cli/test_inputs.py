"""What the commands make of their arguments."""

import pytest

from fashionsearch import errors
from fashionsearch.cli.inputs import parse_where


def test_conditions_on_the_command_line():
    assert parse_where(["size=007", "brand=nan", "year>=2012", "year<2015", "kind=A,B", "price=9.5"]) == {
        "size": ["007"],
        "brand": ["nan"],
        "year": {"gte": 2012.0, "lt": 2015.0},
        "kind": ["A", "B"],
        "price": [9.5, "9.5"],
    }
    for again in (["a=1", "a=2"], ["a=1", "a>2"], ["a>2", "a=1"], ["a>1", "a>2"]):
        with pytest.raises(errors.InputError, match="names 'a' twice"):
            parse_where(again)

"""What the commands make of their arguments."""

from pathlib import Path

import pytest

from fashionsearch import errors
from fashionsearch.cli.inputs import loaded_tagger, parse_where


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


def test_a_wrong_path_of_a_tagger_is_not_asked_of_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.StorageError, match="there is no such folder"):
        loaded_tagger(Path("models/tagger"))
    assert hub.requests == []
    assert "articleType" in loaded_tagger(Path("fashion")).attributes_

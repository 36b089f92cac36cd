"""Texts and values as databases hold them, there and back."""

import itertools

import pytest

from fashionsearch.index.readings import decoded, encoded, key, metadata_of, name, plain, readings, restored

CHARACTERS = ("a", "\x00", "\x01", "\x02", "\ud7fe", "\ud7ff", "\ud800", "\udfff", "\ue000", "😀")
TEXTS = ["".join(text) for length in range(3) for text in itertools.product(CHARACTERS, repeat=length)]


def test_texts_come_back_and_any_database_takes_them():
    for text in TEXTS:
        assert restored(plain(text)) == text
        assert b"\0" not in plain(text).encode("utf-8")


def test_texts_keep_their_order():
    for one in TEXTS:
        for other in TEXTS:
            assert (one < other) is (plain(one) < plain(other))


@pytest.mark.parametrize("value", ["", "red", "i3", "a\0b", 0, -7, 2**80, 0.1, -1e300, True, False])
def test_values_come_back_with_their_types(value):
    found = decoded(encoded(value))
    assert found == value
    assert type(found) is type(value)


def test_what_is_no_value_is_refused():
    for text in ("", "x1", "btru", "ix"):
        with pytest.raises(ValueError):  # noqa: PT011 - the engine tells where it came from
            decoded(text)


def test_fields_come_back_whatever_their_names():
    fields = ["a", "a b", "_", "__", "_20_", "ü", "\0private", "a.b[0]", "", "😀"]
    assert [name(key(field)) for field in fields] == fields
    assert len({key(field) for field in fields}) == len(fields)
    assert all(
        character.isascii() and (character.isalnum() or character == "_")
        for field in fields
        for character in key(field)
    )


def test_metadata_comes_back_without_what_is_private():
    metadata = {"colour": "Red", "price": None, "n": 3, "\0mark": "x"}
    stored = readings(metadata)
    assert metadata_of(stored, private=True) == metadata
    assert metadata_of(stored) == {"colour": "Red", "price": None, "n": 3}
    assert stored[key("\0mark")] == {"value": "tx"}

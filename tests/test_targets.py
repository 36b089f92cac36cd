"""Labels of every kind: taken and brought back as they were, or refused with the position."""

import datetime
from decimal import Decimal

import numpy as np
import pytest

from fashionsearch import errors
from fashionsearch.targets import LABEL, check_one_each, checked_labels, class_weights, encode, make_targets

PHOTOS = [f"{position}.jpg" for position in range(4)]


class NAType:
    """As pandas.NA: a comparison with it is neither true nor false."""

    def __eq__(self, other):
        return self

    __ne__ = __eq__
    __hash__ = object.__hash__

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


class Column:
    """As a column of a data frame: an array of objects, and a list of plain values."""

    def __init__(self, *values):
        self._values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self._values, dtype=object)

    def __len__(self):
        return len(self._values)

    def tolist(self):
        return list(self._values)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["b", "a", "b", "a"], "U"),
        (np.array(["b", "a", "b", "a"]), "U"),
        (np.array(["b", "a", "b", "a"], dtype=object), "O"),
        (Column("b", "a", "b", "a"), "O"),
        ([2, 1, 2, 1], "i"),
        (np.array([2, 1, 2, 1], dtype=np.uint8), "u"),
        (np.array([2, 1, 2, 1], dtype=object), "i"),
        (Column(2, 1, 2, 1), "i"),
        ([np.int64(2), 1, np.int16(2), 1], "i"),
        ([True, False, True, False], "b"),
        (np.array([True, False, True, False], dtype=object), "b"),
        (np.array([2.0, 1.0, 2.0, 1.0]), "f"),
    ],
)
def test_labels_that_can_be_classes_are_taken(labels, kind):
    targets = make_targets(PHOTOS, {LABEL: labels})
    assert targets.indices.tolist() == [[1], [0], [1], [0]]
    assert targets.indices.dtype == np.int64
    assert targets.classes[LABEL].dtype.kind == kind
    assert checked_labels(PHOTOS, labels, "labels").tolist() == list(np.asarray(labels).tolist())


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy 1 has no StringDType")
def test_numpys_own_text_is_taken():
    labels = np.array(["b", "a", "b", "a"], dtype=np.dtypes.StringDType())
    assert make_targets(PHOTOS, {LABEL: labels}).classes[LABEL].dtype.kind == "U"
    missing = np.array(["b", "a", None, "a"], dtype=np.dtypes.StringDType(na_object=None))
    with pytest.raises(errors.DataError, match="1 of 4 labels are empty, the first at position 2"):
        make_targets(PHOTOS, {LABEL: missing})


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["a", None, "b", "a"], "1 of 4 labels are empty, the first at position 1"),
        (["a", "b", "", ""], "2 of 4 labels are empty, the first at position 2"),
        ([1.0, 2.0, float("nan"), 1.0], "empty, the first at position 2"),
        (Column("a", "b", NAType(), "a"), "empty, the first at position 2"),
        (Column(1, NAType(), 2, 1), "empty, the first at position 1"),
        ([1, "a", 2, "b"], "of several kinds: position 0 holds 1, and position 1 'a'"),
        ([True, 3, False, 4], "of several kinds: position 0 holds True, and position 1 3"),
        (np.array([1, 1, "a", 2], dtype=object), "position 0 holds 1, and position 2 'a'"),
        ([1.0, 2.0, 2.5, 1.0], r"position 2 holds 2\.5; give text or whole numbers"),
        ([1.0, float("inf"), 2.0, 1.0], "position 1 holds inf"),
        (
            np.arange(4).astype("M8[us]"),
            r"dtype datetime64\[us\] are not classes \(position 0 holds .*astype\(str\)",
        ),
        (np.arange(4).astype("M8[ns]"), r"dtype datetime64\[ns\] are not classes"),
        (np.arange(4).astype("m8[s]"), r"dtype timedelta64\[s\] are not classes"),
        ([datetime.date(2020, 1, day) for day in (1, 2, 3, 4)], r"position 0 holds datetime\.date"),
        ([b"a", b"b", b"a", b"b"], r"dtype \|S1 are not classes"),
        ([1j, 2j, 1j, 2j], "dtype complex128 are not classes"),
        (["a", ["b"], "a", "b"], "labels can't be read as one label for each image"),
        ([["a"], ["b"], ["a"], ["b"]], r"shape \(4, 1\); give one label for each image"),
        ([2**70, 1, 2**70, 1], "don't fit in 64 bits"),
        ([Decimal(1), Decimal(2), Decimal(1), Decimal(2)], "position 0 holds Decimal"),
        (["a", object(), "a", "b"], "position 1 holds <object"),
        ("abab", r"shape \(\)"),
        ({"a": 1}, r"shape \(\)"),
        (5, r"can't be read|shape \(\)"),
    ],
)
def test_labels_that_can_not_be_classes_are_refused_with_the_position(labels, words):
    with pytest.raises(errors.DataError, match=words):
        make_targets(PHOTOS, {LABEL: labels})


def test_several_attributes_and_what_is_unknown_of_them():
    labels = {"type": ["shoe", "bag", "", "bag"], "year": Column(2011, NAType(), 2012, 2011)}
    targets = make_targets(PHOTOS, labels, allow_unknown=True)
    assert targets.indices.tolist() == [[1, 0], [0, -1], [-1, 1], [0, 0]]
    assert {name: classes.tolist() for name, classes in targets.classes.items()} == {
        "type": ["bag", "shoe"],
        "year": [2011, 2012],
    }
    assert targets.of("year").tolist() == [0, -1, 1, 0]
    rest = encode(
        PHOTOS[:2], {"type": ["", "bag"], "year": [2012, None]}, targets.classes, allow_unknown=True
    )
    assert rest.indices.tolist() == [[-1, 1], [0, -1]]
    with pytest.raises(
        errors.DataError, match="validation labels of 'type' hold classes that no training photo has: hat"
    ):
        encode(PHOTOS[:1], {"type": ["hat"], "year": [2011]}, targets.classes)
    with pytest.raises(errors.DataError, match="no labels of 'type' are known"):
        make_targets(PHOTOS, {"type": ["", "", "", ""]}, allow_unknown=True)


def test_class_weights():
    targets = make_targets(PHOTOS, {LABEL: ["a", "a", "a", "b"]})
    indices, classes = targets.of(LABEL), targets.classes[LABEL]
    assert class_weights(indices, classes, None, "class_weight").tolist() == [1, 1]
    assert class_weights(indices, classes, "balanced", "class_weight") == pytest.approx([4 / 6, 2])
    assert class_weights(indices, classes, {"b": 3}, "class_weight").tolist() == [1, 3]
    for given, words in (
        ({"c": 1}, "class_weight names 'c', which no label has"),
        ({"a": -1}, "gives 'a' the weight -1"),
        ({"a": float("nan")}, "gives 'a' the weight nan"),
        ({"a": 0, "b": 0}, "every class the weight 0"),
        ("even", "class_weight='even' is not None"),
    ):
        with pytest.raises(errors.InputError, match=words):
            class_weights(indices, classes, given, "class_weight")


def test_arrays_that_are_one_photo_and_not_many_are_told_apart():
    with pytest.raises(
        errors.DataError, match=r"shape \(24, 784\), which is one grey photo.*list\(images\.reshape"
    ):
        check_one_each(np.zeros((24, 784)), 24)
    with pytest.raises(errors.DataError, match=r"shape \(24, 28, 3\), which is one photo.*list\(images\)"):
        check_one_each(np.zeros((24, 28, 3)), 24)
    with pytest.raises(errors.InputError, match=r"24 greyscale images, give list\(images\)"):
        check_one_each(np.zeros((24, 28, 28)), 24)
    with pytest.raises(errors.DataError, match="5 images and 4 labels"):
        check_one_each([None] * 5, 4)
    check_one_each(np.zeros((24, 28, 28, 3)), 24)

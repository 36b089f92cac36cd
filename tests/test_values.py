"""Values of data frames, arrays and CSV files become the plain ones that JSON holds."""

import datetime
import decimal
import enum
import json

import numpy as np
import pytest

from fashionsearch import errors
from fashionsearch.values import columns_of, plain_value, plain_values, read_text, read_texts

UTC = datetime.timezone.utc


class Colour(str, enum.Enum):
    RED = "red"


class NAType:
    """What pandas puts where a value is missing."""

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


class Arrow:
    """A scalar of pyarrow."""

    def __init__(self, value):
        self.value = value

    def as_py(self):
        return self.value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.bool_(True), True),
        (np.int8(-3), -3),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.array(7), 7),
        (np.str_("red"), "red"),
        (Colour.RED, "red"),
        (float("nan"), None),
        (np.float16("nan"), None),
        (np.datetime64("NaT"), None),
        (NAType(), None),
        (Arrow(None), None),
        (Arrow(datetime.date(2012, 5, 1)), "2012-05-01"),
        (decimal.Decimal("19.90"), 19.9),
        (decimal.Decimal(10**20 + 1), 10**20 + 1),
        (decimal.Decimal("NaN"), None),
        (datetime.date(2012, 5, 1), "2012-05-01"),
        (datetime.datetime(2012, 5, 1), "2012-05-01"),
        (datetime.datetime(2012, 5, 1, 10, 30), "2012-05-01T10:30:00"),
        (datetime.datetime(2012, 5, 1, tzinfo=UTC), "2012-05-01T00:00:00+00:00"),
        (
            datetime.datetime(2012, 5, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
            "2012-04-30T23:00:00+00:00",
        ),
        (np.datetime64("2012-05-01"), "2012-05-01"),
        (np.datetime64("2012"), "2012-01-01"),
        (np.datetime64("2012-05-01T10:30:00.5", "ns"), "2012-05-01T10:30:00.500000"),
    ],
)
def test_each_kind_of_value(value, expected):
    plain = plain_value(value, "field")
    assert type(plain) is type(expected)
    assert plain == expected
    assert plain_values([value, None], "field") == [expected, None]
    json.dumps(plain)


@pytest.mark.parametrize(
    "value", [float("inf"), 1j, b"red", [1], object(), datetime.timedelta(1), np.datetime64(10**15, "s")]
)
def test_what_is_refused(value):
    with pytest.raises(errors.InputError, match=r"field 'size' holds .*give text, a finite number, a date"):
        plain_value(value, "size")
    with pytest.raises(errors.InputError, match="field 'size'"):
        plain_values([1.0, value], "size")


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([True, False]), [True, False]),
        (np.array([1, 2], np.uint8), [1, 2]),
        (np.array([0.5, np.nan], np.float32), [0.5, None]),
        (np.array([0.5, np.nan], np.longdouble), [0.5, None]),
        (np.array(["a", ""]), ["a", ""]),
        (np.array(["2012-05-01", "NaT"], "M8[ns]"), ["2012-05-01", None]),
        (np.array([True, float("nan"), "x"], object), [True, None, "x"]),
    ],
)
def test_whole_arrays(array, expected):
    values = plain_values(array, "field")
    assert values == expected
    assert list(map(type, values)) == list(map(type, expected))


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="numpy 2 brings it")
def test_text_of_variable_length():
    array = np.array(["a", None, "b"], np.dtypes.StringDType(na_object=None))
    assert plain_values(array, "field") == ["a", None, "b"]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["True", "false", ""], [True, False, None]),
        (["1", "20", "NaN"], [1, 20, None]),
        (["1", "2.5", "1e-05", "NA"], [1.0, 2.5, 1e-05, None]),
        (["007", "12"], ["007", "12"]),
        (["1", "True"], ["1", "True"]),
        (["38", "XL", "", "NA"], ["38", "XL", None, "NA"]),
        (["inf", "1"], ["inf", "1"]),
        (["1e400"], ["1e400"]),
        (["NA", "NaN"], ["NA", "NaN"]),
        (["", ""], [None, None]),
        ([], []),
        (["2012-05-01", "2012-05-01 10:30", "NaT"], ["2012-05-01", "2012-05-01T10:30:00", None]),
        (
            ["2012-05-01T00:00:00Z", "2012-05-01T01:00:00+0200"],
            ["2012-05-01T00:00:00+00:00", "2012-04-30T23:00:00+00:00"],
        ),
        (["2012-05-01", "2012-13-01"], ["2012-05-01", "2012-13-01"]),
        (["0001-01-01T00:00:00+23:00"], ["0001-01-01T00:00:00+23:00"]),
        (["100000000000000001", "2"], [100000000000000001, 2]),
    ],
)
def test_columns_of_text(texts, expected):
    values = read_texts(texts)
    assert values == expected
    assert list(map(type, values)) == list(map(type, expected))


@pytest.mark.parametrize("text", ["007", "nan", "inf", "1e400", "", " 1", "1_000", "+1", "1.", "yes", "-"])
def test_what_is_text(text):
    assert read_text(text) is text


class Frame:
    """What pandas' and polars' frames have in common."""

    def __init__(self, columns):
        self.columns = [name for name, _ in columns]
        self._values = dict(columns)

    def __getitem__(self, name):
        return self._values[name]


def test_data_frames():
    assert columns_of(Frame([("a", [1, 2]), ("b", ["x", "y"])])) == {"a": [1, 2], "b": ["x", "y"]}
    with pytest.raises(errors.InputError, match="several columns named 'a'"):
        columns_of(Frame([("a", [1]), ("a", [2])]))
    assert columns_of([{"a": 1}]) is None
    assert columns_of("text") is None

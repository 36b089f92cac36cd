"""The values of metadata: text, numbers, booleans, dates as ISO text, and None for what is unknown.

Data frames, arrays and CSV files each have values of their own; here they become the plain ones that JSON holds.
"""

from __future__ import annotations

import datetime
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeGuard

import numpy as np

from fashionsearch import errors

if TYPE_CHECKING:
    import decimal

Value: TypeAlias = "str | int | float | bool | None"

TRUE, FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_UNKNOWN = frozenset(("", "nan", "NaN", "NAN", "NA", "<NA>", "N/A", "null", "NULL", "None", "NaT"))
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?", re.ASCII)
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(Z|[-+]\d\d:?\d\d)?", re.ASCII
)
_AS_THEY_ARE = {str, int, float, bool, type(None)}


class Frame(Protocol):
    """What data frames (pandas, polars) and a `Table` have in common: the names of columns, and a column by its name."""

    @property
    def columns(self) -> Any:
        """The names of the columns."""
        ...

    def __getitem__(self, name: Any, /) -> Any:
        """Return a column, with one value a row."""
        ...


def is_number(value: Value) -> TypeGuard[float]:
    """Return whether a value is a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def plain_value(value: object, field: str) -> Value:
    """Return a value of a data frame, an array or Python as a plain one.

    NaN, NaT and pandas' NA become None. Dates become ISO text that sorts: `2012-05-01`, or `2012-05-01T10:30:00` with a
    time of day other than midnight; a time with a zone is given in UTC.

    Args:
        value: what to convert.
        field: the field it belongs to, for the error.

    Raises:
        InputError: if it isn't text, a finite number, a boolean, a date or None.

    Examples:
        >>> plain_value(np.datetime64("2012-05-01"), "added"), plain_value(np.float32("nan"), "price")
        ('2012-05-01', None)
    """
    original = value
    if hasattr(value, "as_py"):  # pyarrow's
        value = value.as_py()
    if isinstance(value, np.datetime64):
        value = _date_of(value)
    elif hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = float(value) if isinstance(value, np.floating) else value.item()
    if is_missing(value):
        return None
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if _is_decimal(value) and value.is_finite():
        return int(value) if value.as_tuple().exponent >= 0 else float(value)  # type: ignore[operator]
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, datetime.date):
        return _iso(value)
    raise errors.InputError(
        f"field {field!r} holds {original!r} of type {type(original).__name__}; give text, a finite number, a date, "
        "True, False or None"
    )


def is_missing(value: object) -> bool:
    """Return whether a value is None, NaN, NaT or pandas' NA."""
    if isinstance(value, float):
        return math.isnan(value)
    if _is_decimal(value):
        return value.is_nan()
    # pandas is never imported here, so its two marks are known by their names.
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _is_decimal(value: object) -> TypeGuard[decimal.Decimal]:
    module = sys.modules.get("decimal")  # there is none before somebody has imported it
    return module is not None and isinstance(value, module.Decimal)


def _date_of(value: np.datetime64) -> object:
    if np.isnat(value):
        return None
    year = 1970 + int(value.astype("datetime64[Y]").astype(np.int64))
    in_range = datetime.MINYEAR <= year <= datetime.MAXYEAR
    return value.astype("datetime64[us]").item() if in_range else value


def _iso(value: datetime.date) -> str:
    if not isinstance(value, datetime.datetime):
        return value.isoformat()
    if value.tzinfo is not None:
        value = value.astimezone(datetime.timezone.utc)
    elif value.time() == datetime.time():
        return (
            value.date().isoformat()
        )  # as data frames hold a day, which must equal the same day from elsewhere
    return datetime.datetime.isoformat(value)  # pandas' own writes nanoseconds


def plain_values(values: Iterable[object], field: str) -> list[Value]:
    """Return a whole column as `plain_value` returns each value, much faster for the common types.

    Raises:
        InputError: as for `plain_value`.
    """
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "biufU":
        values = values.tolist() if values.dtype != np.longdouble else values
    listed: list[Any] = list(values)
    kinds = set(map(type, listed))
    finite = float not in kinds or all(math.isfinite(value) for value in listed if type(value) is float)
    if finite and kinds <= _AS_THEY_ARE:
        return listed
    return [plain_value(value, field) for value in listed]


def columns_of(table: object) -> dict[Any, Any] | None:
    """Return a mapping of columns or a data frame (pandas, polars, pyarrow) as a dictionary; None for anything else.

    Raises:
        InputError: if a data frame has several columns of one name.
    """
    if isinstance(table, Mapping):
        return dict(table)
    if hasattr(table, "to_pydict"):  # pyarrow's
        return dict(table.to_pydict())
    if not hasattr(table, "columns") or not hasattr(table, "__getitem__"):
        return None
    names = list(table.columns)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise errors.InputError(f"the data frame has several columns named {twice[0]!r}; rename them")
    return {name: table[name] for name in names}


def read_text(text: str) -> str | int | float | bool:
    """Return the number or boolean that text spells, else the text: `007` and `nan` are text.

    Examples:
        >>> read_text("38"), read_text("-0.5"), read_text("true"), read_text("007")
        (38, -0.5, True, '007')
    """
    if text in TRUE or text in FALSE:
        return text in TRUE
    found = _NUMBER.fullmatch(text)
    if found is None:
        return text
    number = float(text)
    if not math.isfinite(number):
        return text
    return number if found[1] or found[2] else int(text)


def read_texts(texts: Sequence[str]) -> list[Value]:
    """Return the values that a column of text spells, as a CSV file holds them; all are of one kind.

    A column is read as booleans, numbers or ISO dates if all its values spell one; `""`, `NA`, `NaN` and the like are
    None in it. Any other column stays text, in which only `""` is None.

    Examples:
        >>> read_texts(["38", "", "42.5"]), read_texts(["38", "", "XL"])
        ([38.0, None, 42.5], ['38', None, 'XL'])
    """
    distinct = set(texts) - _UNKNOWN
    spelled: dict[str, Value] = {}
    for read in (read_text, _read_date) if distinct else ():
        spelled = {}
        kind: type | None = None
        for text in distinct:
            value = read(text)
            found = float if is_number(value) else type(value)
            if value is text or value is None or found is not (kind or found):
                break
            spelled[text], kind = value, found
        else:
            break
    else:
        return [text or None for text in texts]
    if any(type(value) is float for value in spelled.values()):
        spelled = {text: float(value) for text, value in spelled.items()}  # type: ignore[arg-type]
    return [spelled.get(text) for text in texts]


def _read_date(text: str) -> str | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        microsecond = int((fraction or "")[:6].ljust(6, "0"))
        moment = datetime.datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), microsecond
        )
        if zone:
            hours, minutes = (0, 0) if zone == "Z" else (int(zone[1:3]), int(zone[-2:]))
            offset = datetime.timedelta(hours=hours, minutes=minutes)
            moment = moment.replace(tzinfo=datetime.timezone(-offset if zone[0] == "-" else offset))
        return _iso(moment)
    except (ValueError, OverflowError):
        return None

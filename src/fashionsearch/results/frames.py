"""Rows as data frames of pandas, which is imported only here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fashionsearch import errors

_MATCH = {  # column -> its dtype; None is whatever its values are
    "query": "int64",
    "rank": "int64",
    "id": None,
    "similarity": "float32",
    "probability": "float32",
    "source": None,
}


def data_frame(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str | None]) -> Any:
    """Return rows as a pandas DataFrame, which has all its columns even if there are no rows.

    Whole numbers and booleans with gaps stay what they are, as pandas' nullable "Int64" and "boolean".

    Args:
        rows: column -> value; one that a row lacks is missing in it.
        columns: column -> its dtype, or None for that of its values.

    Raises:
        MissingPackageError: if pandas isn't installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise errors.MissingPackageError(
            "to_pandas needs pandas, which isn't installed: pip install pandas, or use to_rows()"
        ) from error
    held = {}
    for name, dtype in columns.items():
        values = [row.get(name) for row in rows]
        held[name] = pandas.Series(values, dtype=_dtype(values) if dtype is None else dtype)
    return pandas.DataFrame(held, index=pandas.RangeIndex(len(rows)))


def _dtype(values: Sequence[object]) -> str | None:
    """Return the dtype that keeps values as they are, or None where pandas finds it by itself."""
    kinds = {type(value) for value in values} - {type(None)}
    if not kinds:
        return "object"
    if None in values and kinds == {bool}:
        return "boolean"
    if None in values and kinds == {int}:
        fit = all(-(2**63) <= value < 2**63 for value in values if isinstance(value, int))
        return "Int64" if fit else "object"
    return None


def match_frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return the rows of `Matches.to_rows` as a pandas DataFrame, with a column for each field and each part.

    Raises:
        MissingPackageError: if pandas isn't installed.
    """
    fields = {name: f"metadata.{name}" if name in _MATCH else name for name in _names(rows, "metadata")}
    parts = {name: f"parts.{name}" for name in _names(rows, "parts")}
    flat = [
        {name: row[name] for name in _MATCH}
        | {column: row["metadata"].get(name) for name, column in fields.items()}
        | {column: row["parts"].get(name) for name, column in parts.items()}
        for row in rows
    ]
    columns = _MATCH | dict.fromkeys(fields.values()) | dict.fromkeys(parts.values(), "float32")
    return data_frame(flat, columns)


def _names(rows: Iterable[Mapping[str, Any]], of: str) -> list[str]:
    """Return the keys of the mappings that rows hold under a name, in the order in which they come."""
    return list(dict.fromkeys(name for row in rows for name in row[of]))

"""Rows of an index, and the checks of what a caller hands in, before anything is written."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashionsearch import errors
from fashionsearch.values import Value, columns_of, plain_value, plain_values

Id: TypeAlias = "str | int"
_SHORTEST, _LONGEST = 1e-15, 1e15  # vectors whose squares float32 can hold
_MOST_BITS = 10_000  # of an id; Python writes out no number of many more
_MOST_DIGITS = 3011  # of such a number
LOWEST_EF = 16  # of a walk: where an index with a goal for recall begins
PRIVATE = "\0"  # begins the name of a metadata field that is the library's own, and shown to nobody


class ItemId(str):
    """An id in a place where a text could be a path too, and is to be taken for none."""


@dataclass(frozen=True, eq=False)
class Rows:
    """n checked items.

    Attributes:
        ids: n ids of one kind, each once.
        vectors: (n, dim) float32, finite, none of length zero.
        metadata: one mapping an item.
        sources: the path each item's photo was added from, or None.
    """

    ids: Sequence[Id]
    vectors: NDArray[np.float32]
    metadata: Sequence[Mapping[str, Value]]
    sources: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.ids)


def check_number(name: str, value: object, *, low: int, high: int | None = None) -> int:
    """Return a whole number in range, or raise InputError."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):  # type: ignore[operator]
        limits = f"from {low} up" if high is None else f"from {low} to {high}"
        raise errors.InputError(f"{name}={value!r} is not a whole number {limits}")
    return int(value)  # type: ignore[call-overload,no-any-return]


def check_share(name: str, value: object) -> float:
    """Return a number from 0 to 1, or raise InputError."""
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1:  # type: ignore[operator]
        raise errors.InputError(f"{name}={value!r} is not a number from 0 to 1")
    return float(value)  # type: ignore[arg-type]


def check_choice(name: str, value: object, known: Sequence[str]) -> None:
    """Raise InputError unless a value is one of those known."""
    if value not in known:
        raise errors.InputError(
            f"{name}={value!r} is not one of {', '.join(known)}.{errors.did_you_mean(str(value), known)}"
        )


def check_cosine(said: str, metric: str) -> None:
    """Raise InputError, which says what needs it, unless a metric is the cosine."""
    if metric != "cosine":
        raise errors.InputError(
            f"{said} can be weighed only by the cosine, and this index has metric={metric!r}; make it with metric='cosine'"
        )


def check_recall(recall: object, ef_search: object) -> float | None:
    """Return a goal for recall, or raise InputError; with `ef_search` beside it, it wins, with a warning."""
    if recall is None:
        return None
    if isinstance(recall, bool) or not isinstance(recall, int | float) or not 0 < recall < 1:
        raise errors.InputError(f"recall={recall!r} is not a number above 0 and below 1, such as 0.95")
    if ef_search is not None:
        warnings.warn(
            f"recall={recall:g} sets ef_search, so ef_search={ef_search!r} is not heard; leave one of them out",
            errors.DataWarning,
            stacklevel=4,
        )
    return float(recall)


def check_vectors(vectors: ArrayLike, dim: int) -> NDArray[np.float32]:
    """Return (n, dim) float32, one vector as (1, dim), or raise InputError naming the first bad row."""
    try:
        numbers = np.asarray(vectors)
        if numbers.dtype == object and numbers.ndim == 1:  # a data frame's column of vectors
            numbers = np.asarray(numbers.tolist())
        if numbers.dtype != np.float32:
            numbers = numbers.astype(np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise errors.InputError(f"vectors can't be read as (n, {dim}) numbers: {error}") from error
    if numbers.shape == (dim,):
        numbers = numbers[None]
    if numbers.size == 0 and numbers.ndim <= 2:
        return np.zeros((0, dim), dtype=np.float32)
    if numbers.ndim != 2 or numbers.shape[1] != dim:
        raise errors.InputError(f"vectors have shape {numbers.shape}, and this index holds (n, {dim})")
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = row_lengths(numbers)
    if len(lengths) == 1 and _SHORTEST < lengths.item() < _LONGEST:  # as in most searches; NaN is in no range
        return np.ascontiguousarray(numbers, dtype=np.float32)
    for problem, bad in (
        ("holds NaN or infinity", ~np.isfinite(numbers).all(axis=1)),
        ("is all zeros, which is like nothing", lengths == 0),
        ("is too short or too long for float32", ~((lengths > _SHORTEST) & (lengths < _LONGEST))),
    ):
        if bad.any():
            raise errors.InputError(
                f"vector {int(np.argmax(bad))} {problem} ({int(bad.sum())} of {len(numbers)} do); nothing was done"
            )
    return np.ascontiguousarray(numbers, dtype=np.float32)


def as_ids(ids: object) -> list[object]:
    """Return one id or several as a list, or raise InputError."""
    if isinstance(ids, str | int | np.integer):
        return [ids]
    if isinstance(ids, bytes) or not isinstance(ids, Iterable):
        raise errors.InputError(
            f"ids={ids!r} are of type {type(ids).__name__}; give a list of strings or integers"
        )
    return list(getattr(ids, "to_pylist", lambda: ids)())  # pyarrow's, whose values are its own otherwise


def check_id(item: object) -> Id:
    """Return an id as Python's str or int, or raise InputError."""
    if isinstance(item, str):
        return str(item)
    if isinstance(item, int | np.integer) and not isinstance(item, bool):
        if int(item).bit_length() > _MOST_BITS:
            raise errors.InputError(f"an id is a number of {int(item).bit_length():,} bits; give it as text")
        return int(item)
    raise errors.InputError(f"id {item!r} is of type {type(item).__name__}; ids are strings or integers")


def check_ids(ids: Iterable[object] | None, n: int, kind: type | None, next_id: int) -> list[Id]:
    """Return n ids of one kind, each once, or raise InputError."""
    if ids is None:
        if kind is str:
            raise errors.InputError("this index has text ids, so new items need ids too; pass ids=[…]")
        return list(range(next_id, next_id + n))
    checked = [check_id(item) for item in as_ids(ids)]
    if len(checked) != n:
        raise errors.InputError(f"there are {len(checked)} ids and {n} items; give one id for each item")
    kind = kind or (type(checked[0]) if checked else None)
    first_at: dict[Id, int] = {}
    for position, item in enumerate(checked):
        if type(item) is not kind:
            raise errors.InputError(
                f"id {item!r} at position {position} is of type {type(item).__name__}, and this index's ids are of type "
                f"{kind.__name__ if kind else None}; use one kind"
            )
        if item in first_at:
            raise errors.InputError(
                f"id {item!r} occurs twice, at positions {first_at[item]} and {position}; give each item its own id"
            )
        first_at[item] = position
    return checked


def unknown_id(item: Id, kind: type | None, count: int) -> errors.UnknownIdError:
    """Return the error for an id that an index of `count` items, whose ids are of a kind, doesn't hold."""
    hint = f"; ids here are of type {kind.__name__}" if kind not in (None, type(item)) else ""
    return errors.UnknownIdError(f"no item has the id {item!r}; the index holds {count:,}{hint}")


def unknown_field(field: str, asker: str, fields: Sequence[str]) -> errors.InputError:
    """Return the error for a metadata field that no item of an index has; it says who asks, and what the fields are."""
    known = [name for name in fields if not name.startswith(PRIVATE)]
    return errors.InputError(
        f"{asker} names the field {field!r}, which no item has; the fields are "
        f"{', '.join(known) or '(none: the items have no metadata)'}.{errors.did_you_mean(field, known)}"
    )


def row_lengths(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the rows' Euclidean lengths, added up in float64 without a float64 copy of them all."""
    lengths: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    return lengths


def metadata_rows(metadata: object, n: int) -> list[dict[str, Value]]:
    """Return n rows of checked metadata from one mapping per image, or from a mapping of columns or a data frame.

    Raises:
        InputError: if it is neither, lengths differ, or a value isn't text, a number, a boolean or None.
    """
    if metadata is None:
        return [{} for _ in range(n)]
    columns = columns_of(metadata)
    if columns is not None:
        for field, column in columns.items():
            if isinstance(column, str) or not hasattr(column, "__len__") or len(column) != n:
                got = (
                    f"{len(column)} values"
                    if hasattr(column, "__len__") and not isinstance(column, str)
                    else repr(column)
                )
                raise errors.InputError(
                    f"metadata column {field!r} holds {got}, and there are {n} items; give one value for each item"
                )
        plain = {_field(field): plain_values(column, field) for field, column in columns.items()}
        return [{field: values[i] for field, values in plain.items()} for i in range(n)]
    if not isinstance(metadata, Sequence) or len(metadata) != n:
        got = f"{len(metadata)} entries" if isinstance(metadata, Sequence) else f"a {type(metadata).__name__}"
        raise errors.InputError(
            f"metadata is {got}, and there are {n} items; give a list of one mapping an item, or a mapping of columns or "
            "a data frame, such as frame[['colour', 'price']]"
        )
    return [metadata_row(row) for row in metadata]


def metadata_row(row: object) -> dict[str, Value]:
    """Return one item's checked metadata.

    Raises:
        InputError: if it isn't a mapping of names to text, numbers, booleans or None.
    """
    if not isinstance(row, Mapping):
        raise errors.InputError(
            f"metadata {row!r} of an item is not a mapping, for example {{'gender': 'Women'}}"
        )
    return {_field(field): plain_value(value, field) for field, value in row.items()}


def are_int64(ids: Sequence[Id]) -> bool:
    """Return whether ids are whole numbers of 64 bits."""
    # In C: a million ids one by one take as long as all else at an opening.
    whole = set(map(type, ids)) <= {int}
    return whole and (not len(ids) or (min(ids) >= -(2**63) and max(ids) < 2**63))  # type: ignore[operator]


def spelled_id(text: str, held: Iterable[Id]) -> Id:
    """Return an id that was written as text, as an index has it: as a number, if the ids that it holds are numbers.

    Examples:
        >>> spelled_id("12", [7, 9]), spelled_id("12", ["a"]), spelled_id("x", [7])
        (12, '12', 'x')
    """
    if isinstance(next(iter(held), ""), str):
        return text
    digits = text.removeprefix("-")
    return int(text) if text.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS else text


def shown_fields(metadata: Mapping[str, Value]) -> dict[str, Value]:
    """Return metadata without the fields that are the library's own."""
    return {name: value for name, value in metadata.items() if not name.startswith(PRIVATE)}


def is_plain(value: object) -> bool:
    """Return whether a value is one that metadata may hold."""
    return value is None or type(value) in (str, bool, int) or (type(value) is float and np.isfinite(value))


def _field(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise errors.InputError(f"metadata has a field named {name!r}; a field's name is text")
    if name.startswith(PRIVATE):
        raise errors.InputError(
            f"metadata has a field named {name!r}; names that begin so are the library's own"
        )
    return str(name)

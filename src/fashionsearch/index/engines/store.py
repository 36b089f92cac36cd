"""What an index knows: vectors, ids, metadata and sources, the truth from which any graph can be rebuilt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index.engines.column import Column
from fashionsearch.index.filters import Condition, leaves
from fashionsearch.values import Value, columns_of, plain_value, plain_values

Id: TypeAlias = "str | int"


class Store:
    """Rows in slots: a new row takes the next slot, and a removed one leaves its slot dead until `compact`.

    Attributes:
        dim: length of a vector.
        size: slots in use, dead ones included.
        vectors: (size, dim) float32.
        norms: (size,) float32, the vectors' lengths.
        alive: (size,) bool.
        slot_of: id -> slot, in the order of first insertion.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.size = 0
        self.slot_of: dict[Id, int] = {}
        self._vectors = np.zeros((0, dim), dtype=np.float32)
        self._norms = np.zeros(0, dtype=np.float32)
        self._alive = np.zeros(0, dtype=bool)
        self._ids = np.zeros(0, dtype=object)
        self._sources = np.zeros(0, dtype=object)
        self._columns: dict[str, Column] = {}
        self._id_kind: type | None = None

    def __len__(self) -> int:
        return len(self.slot_of)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(size, dim) float32."""
        return self._vectors[: self.size]

    @property
    def norms(self) -> NDArray[np.float32]:
        """(size,) float32."""
        return self._norms[: self.size]

    @property
    def alive(self) -> NDArray[np.bool_]:
        """(size,) bool."""
        return self._alive[: self.size]

    @property
    def id_kind(self) -> type | None:
        """The kind of ids, str or int, which the first row ever added decides."""
        return self._id_kind

    def add(
        self,
        vectors: NDArray[np.float32],
        ids: Sequence[Id],
        rows: Sequence[Mapping[str, Value]],
        sources: Sequence[str | None],
    ) -> list[int]:
        """Add checked rows; return the slots of rows they replace, now dead."""
        if ids:
            self._id_kind = type(ids[0])
        replaced = [self.slot_of[item] for item in ids if item in self.slot_of]
        self._kill(replaced)
        start = self.size
        self._grow(start + len(ids))
        self._vectors[start : start + len(ids)] = vectors
        self._norms[start : start + len(ids)] = row_lengths(vectors)
        self._alive[start : start + len(ids)] = True
        self.size += len(ids)
        self._ids[start : start + len(ids)] = ids
        self._sources[start : start + len(ids)] = sources
        for slot, (item, row) in enumerate(zip(ids, rows, strict=True), start):
            self.slot_of[item] = slot
            self._set(slot, row)
        return replaced

    def remove(self, ids: Sequence[Id]) -> list[int]:
        """Remove rows by id; return their slots, now dead."""
        slots = [self.slot_of.pop(item) for item in ids]
        self._kill(slots)
        return slots

    def _kill(self, slots: Sequence[int]) -> None:
        self._alive[list(slots)] = False
        for slot in slots:
            self._ids[slot] = self._sources[slot] = None

    def _grow(self, size: int) -> None:
        if size > len(self._vectors):
            capacity = max(size, len(self._vectors) * 3 // 2)
            for name in ("_vectors", "_norms", "_alive", "_ids", "_sources"):
                old = getattr(self, name)
                wider = np.zeros((capacity, *old.shape[1:]), dtype=old.dtype)
                wider[: self.size] = old[: self.size]
                setattr(self, name, wider)

    def _set(self, slot: int, row: Mapping[str, Value]) -> None:
        for field, value in row.items():
            column = self._columns.setdefault(field, Column())
            if column.is_wasteful:
                column = self._columns[field] = column.take(np.arange(len(column.codes)))
            column.assign(np.array([slot]), [value])

    def update(self, item: Id, row: Mapping[str, Value]) -> None:
        """Set fields of one row's metadata; the others stay."""
        self._set(self.slot_of[item], row)

    def source(self, slot: int) -> str | None:
        """Return the path a row's photo was added from, if it had one."""
        path: str | None = self._sources[slot]
        return path

    def metadata(self, slot: int) -> dict[str, Value]:
        """Return a row's metadata."""
        return {field: column.get(slot) for field, column in self._columns.items() if column.holds(slot)}

    def identities(self, slots: NDArray[np.intp]) -> NDArray[np.object_]:
        """Return the ids in an array of slots, None for −1."""
        return _gathered(self._ids, slots)

    def sources(self, slots: NDArray[np.intp]) -> NDArray[np.object_]:
        """Return the sources of an array of slots, None for −1."""
        return _gathered(self._sources, slots)

    def metadata_of(self, slots: NDArray[np.intp]) -> NDArray[np.object_]:
        """Return the metadata of an array of slots, None for −1."""
        there = slots >= 0
        wanted = slots[there]
        items: list[dict[str, Value]] = [{} for _ in wanted]
        codes_of: dict[str, list[int]] = {}
        for field, column in self._columns.items():
            column.grow(self.size)
            codes_of[field] = column.codes[wanted].tolist()
        if codes_of and not any(-1 in codes for codes in codes_of.values()):
            # As is usual, all rows have all fields: one by one takes twice as long.
            columns = [
                [self._columns[field].values[code] for code in codes] for field, codes in codes_of.items()
            ]
            for item, values in zip(items, zip(*columns, strict=True), strict=True):
                item.update(zip(codes_of, values, strict=True))
        else:
            for field, codes in codes_of.items():
                for item, code in zip(items, codes, strict=True):
                    if code >= 0:
                        item[field] = self._columns[field].values[code]
        rows = np.full(slots.shape, None, dtype=object)
        rows[there] = np.fromiter(items, dtype=object, count=len(items))
        return rows

    def matching(self, condition: Condition) -> NDArray[np.intp]:
        """Return the live slots that meet a filter, deciding once for each distinct value of a field.

        Raises:
            InputError: if the filter names a field that no row has.
        """
        mask = self.alive
        for leaf in leaves(condition):
            column = self._columns.get(leaf.field)
            if column is None:
                if not self.slot_of:
                    continue
                raise errors.InputError(
                    f"where names the field {leaf.field!r}, which no item has; the fields are "
                    f"{', '.join(self._columns) or '(none: the items have no metadata)'}."
                    + errors.did_you_mean(leaf.field, self._columns)
                )
            column.grow(self.size)
            # The last verdict, which code −1 picks, is for rows that lack the field.
            mask = mask & column.verdicts(leaf).take(column.codes[: self.size])
        return np.flatnonzero(mask)

    def commonest(self, field: str, count: int) -> list[Value]:
        """Return the values of a field that most rows have, the commonest first."""
        return self._columns[field].commonest(np.flatnonzero(self.alive), count)

    def compacted(self) -> Store:
        """Return a copy without the dead slots."""
        slots = np.array(list(self.slot_of.values()), dtype=np.intp)
        fresh = Store(self.dim)
        fresh._id_kind = self._id_kind
        fresh.add(
            self.vectors[slots],
            list(self.slot_of),
            [{}] * len(slots),
            [self._sources[slot] for slot in slots],
        )
        fresh._columns = {field: column.take(slots) for field, column in self._columns.items()}
        return fresh

    def to_files(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return arrays and JSON from which `from_files` makes an equal store, without the dead slots."""
        slots = np.array(list(self.slot_of.values()), dtype=np.intp)
        arrays: dict[str, NDArray[Any]] = {"vectors": self.vectors[slots]}
        fields = []
        for number, (field, column) in enumerate(self._columns.items()):
            kept = column.take(slots)
            arrays[f"field{number}"] = kept.codes
            fields.append({"name": field, "values": kept.values})
        content = {
            "dim": self.dim,
            "id_kind": self._id_kind.__name__ if self._id_kind else None,
            "ids": list(self.slot_of),
            "sources": [self._sources[slot] for slot in slots],
            "fields": fields,
        }
        return arrays, content

    @classmethod
    def from_files(cls, arrays: Mapping[str, NDArray[Any]], content: Mapping[str, Any]) -> Store:
        """Return the store that `to_files` described."""
        self = cls(int(content["dim"]))
        self._id_kind = {"str": str, "int": int}.get(content["id_kind"])
        ids = content["ids"]
        self.add(arrays["vectors"], ids, [{}] * len(ids), content["sources"])
        for number, field in enumerate(content["fields"]):
            self._columns[field["name"]] = Column(field["values"], arrays[f"field{number}"])
        return self


def _gathered(values: NDArray[np.object_], slots: NDArray[np.intp]) -> NDArray[np.object_]:
    there = slots >= 0
    if there.all():
        return values[slots]
    result = np.full(slots.shape, None, dtype=object)
    result[there] = values[slots[there]]
    return result


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
            f"metadata is {got}, and there are {n} items; give a list of one mapping an item, or a mapping of columns"
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


def _field(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise errors.InputError(f"metadata has a field named {name!r}; a field's name is text")
    return str(name)

"""The rows of the local engine: vectors, ids, metadata and sources, the truth from which any graph can be rebuilt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.engines.blocks import Blocks
from fashionsearch.index.engines.change import Change
from fashionsearch.index.engines.column import Column
from fashionsearch.index.engines.kept import Kept, LastKept
from fashionsearch.index.engines.room import Room
from fashionsearch.index.filters import AllOf, AnyOf, Condition, Not
from fashionsearch.index.rows import (
    PRIVATE,
    Id,
    Rows,
    are_int64,
    row_lengths,
    unknown_field,
    unknown_id,
)
from fashionsearch.results import Matches
from fashionsearch.results.columns import MetadataColumns
from fashionsearch.values import Value

_MEMORY = Room()


class Store:
    """Rows in slots: a new row takes the next slot, and a removed one leaves its slot dead until `renumbered`.

    Every change is prepared where nobody looks (in slots beyond `size`, in values that no slot has) and published by
    one assignment. An interruption before that has changed nothing. One after it loses nothing: whoever reads next
    calls `finish` first, which carries out again what was published.

    Attributes:
        dim: length of a vector.
        room: where the vectors lie.
        size: slots in use, dead ones included.
        slot_of: id -> slot, in the order of first insertion.
        columns: metadata field -> its values.
        id_kind: the kind of ids, str or int, which the first row ever added decides.
        next_id: one more than the largest integer id there ever was, or 0.
    """

    def __init__(self, dim: int, room: Room = _MEMORY) -> None:
        self.dim = dim
        self.room = room
        self._is_borrowed = False
        self._blocks: Blocks | None = None  # of vectors that are mapped
        self.size = 0
        self.slot_of: dict[Id, int] = {}
        self.columns: dict[str, Column] = {}
        self.id_kind: type | None = None
        self.next_id = 0
        self._vectors = room.array(0, dim)
        self._norms = np.zeros(0, dtype=np.float32)
        self._alive = np.zeros(0, dtype=bool)
        # Numbers as numbers: to look 10,000 objects up in all of the memory takes as long as 100 queries.
        self._ids: NDArray[Any] = np.zeros(0, dtype=np.int64)
        self._sources = np.zeros(0, dtype=object)
        self._has_sources = False
        self._kept = LastKept()
        self._published: Change | None = None

    def __len__(self) -> int:
        return len(self.slot_of)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(size, dim) float32 by slot."""
        self.verify()
        return self._vectors[: self.size]

    def verify(self, slots: NDArray[np.intp] | None = None) -> None:
        """Verify the vectors of some slots, or of all, where they are mapped from a file.

        Raises:
            DamagedBlockError: if some aren't what was written.
        """
        blocks = self._blocks  # which another thread may do without meanwhile
        if blocks is not None:
            blocks.verify(slots)

    def touched(self, slots: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return (size, dim) float32 by slot, of which only some slots are to be looked at."""
        self.verify(slots)
        return self._vectors[: self.size]

    @property
    def prepared(self) -> NDArray[np.float32]:
        """The same with those that a change is about to add, and room to spare."""
        self.verify()
        return self._vectors

    @property
    def norms(self) -> NDArray[np.float32]:
        """(size,) float32, the vectors' lengths."""
        return self._norms[: self.size]

    @property
    def alive(self) -> NDArray[np.bool_]:
        """(size,) bool, which slots hold rows."""
        return self._alive[: self.size]

    def live(self, slots: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which of an array of slots hold rows; those that are only prepared don't, nor does −1."""
        return (slots >= 0) & self._alive[slots]

    @property
    def bytes(self) -> int:
        """What vectors and columns take up in memory, without the texts they hold."""
        arrays = [self._norms, self._alive, self._ids, self._sources]
        arrays += [] if self.room.on_disk or self._is_mapped else [self._vectors]
        return sum(array.nbytes for array in [*arrays, *(column.codes for column in self.columns.values())])

    def duplicates(self) -> float:
        """Return the share of rows whose vector another row has too."""
        slots = np.flatnonzero(self.alive)
        if not len(slots):
            return 0.0
        # Equal vectors, and hardly ever others, have the same sum of their bits times odd numbers; floats would round.
        odd = np.random.default_rng(0).integers(2**63, size=self.dim, dtype=np.uint64) | np.uint64(1)
        marks = self.vectors.view(np.uint32) @ odd
        _, which, counts = np.unique(marks[slots], return_inverse=True, return_counts=True)
        return float((counts[which] > 1).mean())

    def adding(self, rows: Rows) -> Change:
        """Prepare new rows, and those that replace others of the same id."""
        start, end = self.size, self.size + len(rows)
        self._reserve(end)
        if len(rows):  # what is mapped takes nothing, not even that
            self._vectors[start:end] = rows.vectors
        self._norms[start:end] = row_lengths(rows.vectors)
        if self._ids.dtype != object and not are_int64(rows.ids):
            self._ids = self._ids.astype(object)
        self._ids[start:end] = rows.ids
        self._sources[start:end] = rows.sources
        self._has_sources = self._has_sources or any(source is not None for source in rows.sources)
        columns = dict(self.columns)
        for name in dict.fromkeys(name for row in rows.metadata for name in row):
            columns.setdefault(name, Column())
        for name, column in columns.items():
            places = [place for place, row in enumerate(rows.metadata) if name in row]
            column.grow(end)
            column.codes[start:end] = -1  # an interrupted change may have left others here
            slots = start + np.array(places, dtype=np.intp)
            column.assign(slots, [rows.metadata[place][name] for place in places])
        integers = [item + 1 for item in rows.ids if isinstance(item, int)]
        return Change(
            size=end,
            columns=columns,
            slot_of=dict(zip(rows.ids, range(start, end), strict=True)),
            dead=[self.slot_of[item] for item in rows.ids if item in self.slot_of],
            id_kind=type(rows.ids[0]) if len(rows) else self.id_kind,
            next_id=max([self.next_id, *integers]),
        )

    def make_room(self, count: int) -> None:
        """Make room for so many rows more.

        Raises:
            StorageError: if a disk has none.
        """
        if count:
            self._reserve(self.size + count)

    def _reserve(self, size: int) -> None:
        # Each by itself, because an interruption may have left them of different lengths.
        for name in ("_norms", "_alive", "_ids", "_sources"):
            old = getattr(self, name)
            if size > len(old):
                wider = np.zeros(max(size, len(old) * 3 // 2), dtype=old.dtype)
                wider[: self.size] = old[: self.size]
                setattr(self, name, wider)
        if size > len(self._vectors) or self._is_borrowed:
            room = self.room.array(max(size, len(self._vectors) * 3 // 2), self.dim)
            room[: self.size] = self.vectors
            self._vectors, self._is_borrowed = room, False
            self._blocks = None

    @property
    def _is_mapped(self) -> bool:
        return not self._vectors.flags.writeable

    def after_fork(self) -> None:
        """Leave a mapped file to the parent: what a child writes there, the parent would read."""
        self._is_borrowed = self.room.on_disk

    def removing(self, ids: Sequence[Id]) -> Change:
        """Prepare the removal of rows."""
        dead = [self.slot_of[item] for item in ids]
        return Change(self.size, self.columns, self.id_kind, self.next_id, removed=ids, dead=dead)

    def updating(self, item: Id, metadata: Mapping[str, Value]) -> Change:
        """Prepare new values of some fields of one row's metadata."""
        slot, columns, codes = self.slot_of[item], dict(self.columns), []
        for name, value in metadata.items():
            column = columns.get(name, Column())
            if column.is_wasteful:
                column = column.take(np.arange(len(column.codes)))
            column.grow(self.size)
            columns[name] = column
            codes.append((column, slot, int(column.encode([value])[0])))
        return Change(self.size, columns, self.id_kind, self.next_id, codes=codes)

    def publish(self, change: Change) -> None:
        """Make a prepared change hold."""
        self._published = change
        self.finish()

    def finish(self) -> None:
        """Carry out what is published, which may have been interrupted."""
        change = self._published
        if change is None:
            return
        self._alive[list(change.slot_of.values())] = True
        self._alive[list(change.dead)] = False
        for item in change.removed:
            self.slot_of.pop(item, None)
        self.slot_of.update(change.slot_of)
        for column, slot, code in change.codes:
            column.codes[slot] = code
        self.columns, self.id_kind, self.next_id = change.columns, change.id_kind, change.next_id
        self.size = change.size
        self._kept.clear()
        self._published = None

    def fetch(self, ids: Sequence[Id]) -> Rows:
        """Return rows by id.

        Raises:
            UnknownIdError: if one isn't there.
        """
        for item in ids:
            if item not in self.slot_of:
                raise unknown_id(item, self.id_kind, len(self))
        slots = np.array([self.slot_of[item] for item in ids], dtype=np.intp)
        return Rows(
            list(ids),
            self.touched(slots)[slots],
            list(self.metadata(slots, private=True).rows()),
            self._sources[slots].tolist(),
        )

    def identities(self, slots: NDArray[np.intp]) -> NDArray[np.object_]:
        """Return the ids in an array of slots, None for −1."""
        return _gathered(self._ids, slots)

    def sources(self, slots: NDArray[np.intp]) -> NDArray[np.object_]:
        """Return the sources of an array of slots, None for −1."""
        if not self._has_sources:
            return np.empty(slots.shape, dtype=object)  # of None
        return _gathered(self._sources, slots)

    def matches(self, slots: NDArray[np.intp], similarities: NDArray[np.float32]) -> Matches:
        """Return an answer: what lies in (n, k) slots, nothing where one is −1."""
        there = slots >= 0
        is_whole = np.count_nonzero(there) == there.size
        return Matches(
            self._ids.take(slots).astype(object, copy=False) if is_whole else self.identities(slots),
            similarities,
            self.metadata(slots, there=there),
            np.full(len(slots), slots.shape[1]) if is_whole else there.sum(axis=1),
            self.sources(slots),
        )

    @property
    def fields(self) -> list[str]:
        """The metadata fields that are a user's."""
        return [name for name in self.columns if not name.startswith(PRIVATE)]

    def metadata(
        self, slots: NDArray[np.intp], *, private: bool = False, there: NDArray[np.bool_] | None = None
    ) -> MetadataColumns:
        """Return the metadata of an array of slots, none for −1; the library's own fields where asked for."""
        names = list(self.columns) if private else self.fields
        codes = np.empty((len(names), *slots.shape), dtype=np.int32)
        for row, name in zip(codes, names, strict=True):
            self.columns[name].codes.take(slots, out=row, mode="clip")
        values = {name: self.columns[name].values for name in names}
        return MetadataColumns(values, codes, slots >= 0 if there is None else there)

    def matching(self, condition: Condition) -> Kept:
        """Return the rows that meet a condition, deciding once for each distinct value of a field.

        Raises:
            InputError: if it names a field that no row has.
        """
        return self._kept.of(condition, lambda: self.alive & self._met(condition))

    def _met(self, condition: Condition) -> NDArray[np.bool_]:
        if isinstance(condition, Not):
            return ~self._met(condition.condition)
        if isinstance(condition, AllOf | AnyOf):
            join = np.logical_and if isinstance(condition, AllOf) else np.logical_or
            parts = [self._met(part) for part in condition.conditions]
            return join.reduce(parts) if parts else np.ones(self.size, dtype=bool)
        if not self.slot_of and condition.field not in self.columns:
            return np.ones(self.size, dtype=bool)
        column = self.column(condition.field, "where")
        # The last verdict, which code −1 picks, is for rows that lack the field.
        return column.verdicts(condition).take(column.codes[: self.size])

    def column(self, field: str, asker: str) -> Column:
        """Return a metadata field's values.

        Raises:
            InputError: if no row has it; the message says who asks.
        """
        if field not in self.columns:
            raise unknown_field(field, asker, self.fields)
        return self.columns[field]

    def counts(self, field: str, condition: Condition | None) -> list[tuple[Value, int]]:
        """Return each value of a field and how many rows that meet a condition have it, the commonest first.

        Raises:
            InputError: if no row has such a field.
        """
        if not self.slot_of and field not in self.columns:
            return []
        slots = np.flatnonzero(self.alive) if condition is None else self.matching(condition).slots
        return self.column(field, "facets").counts(slots)

    def renumbered(self, slots: NDArray[np.intp], vectors: NDArray[np.float32]) -> Store:
        """Return a store whose slots 0, 1, 2, … are those given, all live ones among them.

        Args:
            slots: (n,) of this store, each once.
            vectors: (n or more, dim) their vectors, which the new store keeps.
        """
        fresh, count = Store(self.dim, self.room), len(slots)
        fresh.size, fresh.id_kind, fresh.next_id = count, self.id_kind, self.next_id
        fresh._vectors, fresh._has_sources = vectors, self._has_sources
        for name in ("_norms", "_alive", "_ids", "_sources"):
            setattr(fresh, name, getattr(self, name)[slots])
        fresh.columns = {name: column.take(slots) for name, column in self.columns.items()}
        place = np.zeros(self.size, dtype=np.intp)
        place[slots] = np.arange(count)
        old = np.fromiter(self.slot_of.values(), dtype=np.intp, count=len(self))
        fresh.slot_of = dict(zip(self.slot_of, place[old].tolist(), strict=True))
        return fresh

    @classmethod
    def of(
        cls,
        rows: Rows,
        norms: NDArray[np.float32],
        columns: Mapping[str, Column],
        id_kind: type | None,
        room: Room,
        blocks: Blocks | None = None,
    ) -> Store:
        """Return a store of rows in slots 0, 1, 2, …, whose metadata are in columns already, whose vectors may be mapped."""
        count = len(rows)
        self = cls(rows.vectors.shape[1], room)
        self.size, self.id_kind, self.columns = count, id_kind, dict(columns)
        self._ids = np.fromiter(rows.ids, dtype=np.int64 if are_int64(rows.ids) else object, count=count)
        # Ids that number the rows are slots too: one object for both saves 32 bytes a row.
        numbered = self._ids.dtype != object and bool((self._ids == np.arange(count)).all())
        self.slot_of = dict(zip(rows.ids, rows.ids if numbered else range(count), strict=True))  # type: ignore[arg-type]
        self._vectors = rows.vectors
        self._blocks = blocks
        if room.on_disk and blocks is None:
            self._vectors = room.array(count, self.dim)
            self._vectors[:] = rows.vectors
        self._norms, self._alive = norms, np.ones(count, dtype=bool)
        self._sources = np.fromiter(rows.sources, dtype=object, count=count)
        self._has_sources = rows.sources.count(None) < count
        return self


def _gathered(values: NDArray[Any], slots: NDArray[np.intp]) -> NDArray[np.object_]:
    there = slots >= 0
    if there.all():
        return values.take(slots).astype(object, copy=False)
    result = np.full(slots.shape, None, dtype=object)
    result[there] = values[slots[there]]
    return result

"""A change of a store, prepared where nobody looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fashionsearch.index.engines.column import Column
from fashionsearch.index.rows import Id


@dataclass(frozen=True)
class Change:
    """A change that is prepared and not yet published; what it names may be written twice without harm.

    Attributes:
        size: slots in use after it.
        columns: the metadata fields after it.
        slot_of: the slots of new and replaced ids.
        removed: ids that go.
        dead: slots whose rows go.
        codes: (column, slot, code) of metadata that is set.
        id_kind: the kind of ids after it.
        next_id: one more than the largest integer id there ever was.
    """

    size: int
    columns: dict[str, Column]
    id_kind: type | None
    next_id: int
    slot_of: Mapping[Id, int] = field(default_factory=dict)
    removed: Sequence[Id] = ()
    dead: Sequence[int] = ()
    codes: Sequence[tuple[Column, int, int]] = ()

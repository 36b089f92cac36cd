"""What an index holds under its ids: looked up, changed, removed and counted, whatever engine holds it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from fashionsearch.encoder import Embeds
from fashionsearch.index import filters
from fashionsearch.index.holding import Holding
from fashionsearch.index.rows import (
    Id,
    Rows,
    as_ids,
    check_id,
    check_ids,
    metadata_row,
    shown_fields,
    unknown_id,
)

if TYPE_CHECKING:
    from typing_extensions import Self

    from fashionsearch.results import Item

PATIENCE = 60  # seconds that `add` and the like wait for a graph that is made aside


def first_fields(index: Items, most: int) -> list[str]:
    """Return the names of the metadata fields, as the first `most` items show them."""
    return list(dict.fromkeys(name for item in islice(index, most) for name in index.get(item).metadata))


class Items(Holding):
    """Items by id, in an engine."""

    def __len__(self) -> int:
        return len(self._engine)

    def __contains__(self, item: object) -> bool:
        return item in self._engine

    def __iter__(self) -> Iterator[Id]:
        return iter(self._engine)

    def refresh(self) -> None:
        """Take over at once which items another process has written.

        Raises:
            StorageError: if the index is closed, or can't be read.
        """
        self._engine.refresh()

    def close(self) -> None:
        """Close the engine's files.

        Raises:
            StorageError: if a checkpoint can't be written; no change is lost.
        """
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _upsert(
        self, rows: Rows, ids: Iterable[object] | None, total: int, encoder: Embeds | None
    ) -> tuple[Id, ...]:
        """Add rows, of an encoder's vectors, whose ids are yet their positions among the `total` that the ids are for."""
        with self._held_for(encoder) as engine:
            checked = check_ids(ids, total, engine.id_kind, engine.next_id)
            kept = [checked[int(position)] for position in rows.ids]
            if kept:
                engine.upsert(dataclasses.replace(rows, ids=kept))
        if 2 * len(kept) >= len(self):  # who adds a catalogue and then searches finds the graph ready
            self._engine.settle(PATIENCE)
        return tuple(kept)

    def remove(self, ids: Id | Iterable[Id]) -> None:
        """Remove items.

        Raises:
            UnknownIdError: if one isn't there; nothing is removed.
        """
        with self._changing() as engine:
            engine.delete(list(dict.fromkeys(self._known(item) for item in as_ids(ids))))

    def get(self, item: Id) -> Item:
        """Return an item's vector, metadata and source.

        Raises:
            UnknownIdError: if it isn't there.
        """
        rows = self._engine.fetch([check_id(item)])
        from fashionsearch.results import Item

        return Item(rows.ids[0], rows.vectors[0], shown_fields(rows.metadata[0]), rows.sources[0])

    def update(self, item: Id, metadata: Any) -> None:
        """Set fields of an item's metadata; the fields that aren't named stay.

        Raises:
            UnknownIdError: if the item isn't there.
            InputError: if a value isn't text, a number, a boolean or None.
        """
        with self._changing() as engine:
            engine.update(self._known(item), metadata_row(metadata))

    def _known(self, item: object) -> Id:
        identity = check_id(item)
        if identity not in self._engine:
            raise unknown_id(identity, self._engine.id_kind, len(self))
        return identity

    def facets(self, field: str, *, where: filters.Where | None = None) -> dict[Any, int]:
        """Count the values of a metadata field, for the filter boxes of a shop.

        Args:
            field: whose values to count.
            where: count only items whose metadata fit, as for `search`.

        Returns:
            Value -> number of items that have it, the commonest first; items without a value are left out.

        Raises:
            InputError: if no item has such a field, or the filter can't be used.

        Examples:
            >>> import fashionsearch as fs
            >>> index = fs.VisualIndex(dim=2)
            >>> _ = index.add_vectors([[1, 0], [0, 1], [1, 1]], metadata={"colour": ["red", "blue", "red"]})
            >>> index.facets("colour")
            {'red': 2, 'blue': 1}
        """
        found: dict[Any, int] = {}
        for value, count in self._engine.counts(field, filters.parse(where)):
            found[value] = found.get(value, 0) + count
        return dict(sorted(found.items(), key=lambda entry: -entry[1]))

"""All items of one engine to another; a copy that was interrupted goes on."""

from __future__ import annotations

import numpy as np

from fashionsearch import errors
from fashionsearch.embedding import progress_bar
from fashionsearch.index.codec import same
from fashionsearch.index.engines.base import Engine, fetch_present
from fashionsearch.index.rows import Id, Rows, row_lengths

_AT_ONCE = 1000  # items that are one change of the other index
_ROUNDING = 1e-6


def copy(source: Engine, target: Engine, *, progress: bool) -> int:
    """Add the items that another engine lacks, or has otherwise.

    Args:
        source: stays as it is.
        target: other items of it stay.
        progress: show a bar.

    Returns:
        How many were added or replaced.

    Raises:
        InputError: if the ids are of different kinds.
    """
    kinds = source.id_kind, target.id_kind
    if None not in kinds and kinds[0] is not kinds[1]:
        raise errors.InputError(
            f"ids here are of type {kinds[0].__name__}, and there of type {kinds[1].__name__}; copy to another index"  # type: ignore[union-attr]
        )
    ids, copied = list(source), 0
    with progress_bar(len(ids), "copying", "item", shown=progress) as advance:
        for start in range(0, len(ids), _AT_ONCE):
            rows = fetch_present(source, ids[start : start + _AT_ONCE])
            fresh = differing(rows, target)
            if len(fresh):
                with target.changing:
                    target.upsert(fresh)
            copied += len(fresh)
            advance(_AT_ONCE)
    return copied


def differing(rows: Rows, target: Engine) -> Rows:
    """Return the rows that an engine lacks or has otherwise."""
    there = [item for item in rows.ids if item in target]
    known = fetch_present(target, there)
    place: dict[Id, int] = {item: number for number, item in enumerate(known.ids)}

    lengths = row_lengths(rows.vectors)

    def is_there(number: int) -> bool:
        other = place.get(rows.ids[number])
        return (
            other is not None
            # Qdrant keeps directions and lengths apart, which rounds.
            and np.allclose(
                rows.vectors[number], known.vectors[other], rtol=0, atol=_ROUNDING * lengths[number]
            )
            and same(rows.metadata[number], known.metadata[other])
            and rows.sources[number] == known.sources[other]
        )

    kept = [number for number in range(len(rows)) if not is_there(number)]
    return Rows(
        [rows.ids[number] for number in kept],
        rows.vectors[kept],
        [rows.metadata[number] for number in kept],
        [rows.sources[number] for number in kept],
    )

"""All items of one index to another, and what was learned of them; a copy that was interrupted goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fashionsearch import errors
from fashionsearch.embedding import progress_bar
from fashionsearch.encoder import Embeds
from fashionsearch.index import encoders, learned
from fashionsearch.index.codec import same
from fashionsearch.index.engines.base import Engine, fetch_present
from fashionsearch.index.rows import Id, Rows, row_lengths

if TYPE_CHECKING:
    from fashionsearch.index.searchable import Searchable

_OF_ANY_ITEMS = ("words", "clicks")  # what is known of an encoder's space, whichever items lie there
_AT_ONCE = 1000  # items that are one change of the other index
_ROUNDING = 1e-6


def copy(here: Searchable, there: Searchable, *, progress: bool) -> int:
    """Add the items that another index lacks, or has otherwise, and what was learned of them.

    Args:
        here: stays as it is.
        there: other items of it stay.
        progress: show a bar.

    Returns:
        How many items were added or replaced.

    Raises:
        InputError: if the ids are of different kinds, or items here are still to be embedded again.
        EncoderMismatchError: if the vectors there are of another encoder, or of photos with another `background`.
    """
    with here._held() as source:
        encoder, parts = here._encoder, here._learned
        if here._migration is not None and here._migration.state != "switched":
            raise errors.InputError(
                "items of this index are still to be embedded again and have no vectors to copy; migration.wait() comes first"
            )
    if here.dim != there.dim:
        raise errors.EncoderMismatchError(f"vectors here have length {here.dim}, and there {there.dim}")
    if here.background != there.background:
        raise errors.EncoderMismatchError(
            f"vectors here are made with background={here.background!r}, and there with {there.background!r}; make both "
            "indexes with one"
        )
    if encoder is not None and (there._encoder is not None or not len(there)):
        there.encoder = encoders.replacement(there._encoder, encoder, there.dim, empty=not len(there))
    taken_as = there._encoder
    ids, copied = _copy_items(source, there, taken_as, progress=progress)
    if here.metric == there.metric:
        with there._held_for(taken_as) as target:
            learned_there = _learned_there(parts, there._learned, is_copy=set(ids).issuperset(target))
            if (encoder is None) is (taken_as is None) and not learned.same(learned_there, there._learned):
                there._replace(learned_there)
    return copied


def _learned_there(
    parts: Mapping[str, learned.Part], held: Mapping[str, learned.Part], *, is_copy: bool
) -> dict[str, learned.Part]:
    """Return what another index is to know: all that is known here if it holds nothing else, else also its own."""
    if is_copy:
        return {**held, **parts}
    return {**{name: part for name, part in parts.items() if name in _OF_ANY_ITEMS}, **held}


def _copy_items(
    source: Engine, there: Searchable, encoder: Embeds | None, *, progress: bool
) -> tuple[list[Id], int]:
    """Return the ids here, and how many items were added or replaced there."""
    target = there._engine
    kinds = source.id_kind, target.id_kind
    if None not in kinds and kinds[0] is not kinds[1]:
        raise errors.InputError(
            f"ids here are of type {kinds[0].__name__}, and there of type {kinds[1].__name__}; copy to another index"  # type: ignore[union-attr]
        )
    ids, copied = list(source), 0
    with progress_bar(len(ids), "copying", "item", shown=progress) as advance:
        for start in range(0, len(ids), _AT_ONCE):
            rows = fetch_present(source, ids[start : start + _AT_ONCE])
            fresh = differing(rows, there._engine)
            if len(fresh):
                with there._held_for(encoder) as target:
                    target.upsert(fresh)
            copied += len(fresh)
            advance(_AT_ONCE)
    return ids, copied


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

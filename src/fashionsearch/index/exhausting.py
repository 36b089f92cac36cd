"""The best of all items by scores that no engine knows: some items are held at a time, and the best so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.engines.base import Engine, fetch_present
from fashionsearch.index.queries import Term, unit
from fashionsearch.index.rows import Id, shown_fields
from fashionsearch.results import Matches
from fashionsearch.results.matches import stacked

_AT_ONCE = 5000  # items

Best = tuple[NDArray[np.float32], NDArray[np.float32], list[Id]]  # scores, similarities and ids


def best_of_all(
    engine: Engine, ids: Sequence[Id], terms: Sequence[Term], probes: NDArray[np.float32], count: int
) -> Matches:
    """Return the `count` best of some items for each query; of equals the nearest to the query's probe is first.

    Args:
        engine: holds the items.
        ids: of the items; those that are removed meanwhile are no answers.
        terms: whose scores add up.
        probes: (n, dim) of the queries.
        count: how many to find.
    """
    asked, nothing = unit(probes), np.zeros(0, dtype=np.float32)
    best: list[Best] = [(nothing, nothing, [])] * len(probes)
    for start in range(0, len(ids), _AT_ONCE):
        rows = fetch_present(engine, ids[start : start + _AT_ONCE])
        vectors = unit(rows.vectors)
        for query, (scores, similarities, chosen) in enumerate(best):
            scores = np.concatenate([scores, np.sum([term.scores(query, rows) for term in terms], axis=0)])
            similarities = np.concatenate([similarities, vectors @ asked[query]])
            order = np.lexsort((-similarities, -scores))[:count]
            known = [*chosen, *rows.ids]
            best[query] = scores[order], similarities[order], [known[place] for place in order.tolist()]
    return _matches(engine, best)


def _matches(engine: Engine, best: Sequence[Best]) -> Matches:
    rows = fetch_present(engine, list(dict.fromkeys(item for *_, ids in best for item in ids)))
    place = {item: number for number, item in enumerate(rows.ids)}
    shape = len(best), max((len(ids) for *_, ids in best), default=0)
    arrays: dict[str, Any] = {
        name: np.full(shape, None, dtype=object) for name in ("ids", "metadata", "sources")
    }
    alike = np.full(shape, np.nan, dtype=np.float32)
    counts = np.zeros(len(best), dtype=np.int64)
    for query, (_, similarities, ids) in enumerate(best):
        kept = [(at, place[item]) for at, item in enumerate(ids) if item in place]
        counts[query] = len(kept)
        for column, (at, number) in enumerate(kept):
            arrays["ids"][query, column] = rows.ids[number]
            arrays["metadata"][query, column] = shown_fields(rows.metadata[number])
            arrays["sources"][query, column] = rows.sources[number]
            alike[query, column] = similarities[at]
    return Matches(**arrays, similarities=alike, counts=counts)


def stacked_wide(parts: Sequence[Matches]) -> Matches:
    """Return the answers to several queries, each (1, k) of a k of its own, as one."""
    width = max(part.ids.shape[1] for part in parts)
    return stacked([part.chosen([range(int(part.counts[0]))], width) for part in parts])

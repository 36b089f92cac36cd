"""The order of what an engine found, where that is for the index to say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fashionsearch.results import Matches

_EQUAL = 1e-5  # the same photo, embedded in another batch, and the graph's float32


def source_first(found: Matches, sources: Sequence[str | None], k: int) -> Matches:
    """Return the first k places, the item that was added from the queried file before its equals.

    Catalogues hold photos twice, and who searches by one of them looks for that one.
    """
    order = np.tile(np.arange(found.ids.shape[1]), (len(sources), 1))
    for query, source in enumerate(sources):
        if source is not None and found.counts[query]:
            row = found.similarities[query]
            for place in range(1, int((row >= row[0] - _EQUAL).sum())):
                if found.sources[query, place] == source:
                    order[query, : place + 1] = np.roll(order[query, : place + 1], 1)
                    break
    return found.rearranged(order[:, :k])


def by_similarity(found: Matches) -> Matches:
    """Return matches with the most similar first, whatever they were ranked by."""
    # NaN, of places that hold nothing, goes last.
    return found.rearranged(np.argsort(-found.similarities, axis=1, kind="stable"))

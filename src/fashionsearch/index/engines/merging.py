"""Answers of two engines as one."""

from __future__ import annotations

import numpy as np

from fashionsearch.index.rows import Id
from fashionsearch.results import Matches
from fashionsearch.results.matches import joined


def without(found: Matches, gone: set[Id], width: int) -> Matches:
    """Return the nearest that aren't gone."""
    orders = [
        [place for place, item in enumerate(ids[:count]) if item not in gone][:width]
        for ids, count in zip(found.ids.tolist(), found.counts.tolist(), strict=True)
    ]
    return found.chosen(orders, width)


def merged(fresh: Matches, found: Matches, width: int) -> Matches:
    """Return the nearest of the new rows and of the estimated ones, on one scale."""
    both, start = joined([fresh, found]), fresh.ids.shape[1]
    orders = []
    for query, first in enumerate(fresh.counts.tolist()):
        known = set(fresh.ids[query, :first])
        others = np.flatnonzero(~np.isnan(found.similarities[query])).tolist()
        others = [start + place for place in others if found.ids[query, place] not in known]
        places = np.array([*range(first), *others], dtype=np.intp)
        order = np.argsort(-both.similarities[query, places], kind="stable")
        orders.append(places[order][:width].tolist())
    return both.chosen(orders, width)

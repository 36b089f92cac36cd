"""Answers of two engines to the same queries, as one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from fashionsearch.index.rows import Id
from fashionsearch.results import Matches

_NOTHING = {"ids": None, "metadata": None, "sources": None, "similarities": np.nan, "probabilities": np.nan}


def merged(one: Matches, other: Matches, left_out: Collection[Id], width: int) -> Matches:
    """Return the nearest of two answers, whose similarities are on one scale.

    Args:
        one: wins where both have an item.
        other: likewise of n queries.
        left_out: ids that are left out of `other`.
        width: places for each query.
    """
    joined: dict[str, Any] = {}
    for name, nothing in _NOTHING.items():
        parts = [getattr(one, name), getattr(other, name)]
        empty = np.full((len(one), width), nothing, dtype=parts[0].dtype)
        joined[name] = np.concatenate([*parts, empty], axis=1)
    scores = joined["similarities"].astype(np.float64)
    scores[np.isnan(scores)] = -np.inf
    start = one.ids.shape[1]
    for query, (first, count) in enumerate(zip(one.counts.tolist(), other.counts.tolist(), strict=True)):
        known = set(one.ids[query, :first])
        for place in range(count):
            item = other.ids[query, place]
            if item in left_out or item in known:
                scores[query, start + place] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :width]
    filled = np.take_along_axis(scores, order, axis=1) > -np.inf
    order = np.where(filled, order, start + other.ids.shape[1])
    taken: dict[str, Any] = {name: np.take_along_axis(array, order, axis=1) for name, array in joined.items()}
    return replace(one, **taken, counts=filled.sum(axis=1))

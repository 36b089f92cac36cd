"""What mapped queries lose, on items that the map was not learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.mapping import SpaceMap, recalls, similarities
from fashionsearch.index.queries import unit

_RESAMPLES = 2000


def loss(
    mapping: SpaceMap, old: NDArray[np.float32], new: NDArray[np.float32], values: Sequence[Any] | None
) -> dict[str, Any]:
    """Return the figures of a `MigrationReport` that are measured, by name.

    Args:
        mapping: learned from others.
        old: (n, old dim) vectors of the items; each is a query among the others.
        new: (n, new dim), likewise by the new encoder.
        values: what the first one found is to agree in; None, or unknown ones, are left out.
    """
    from fashionsearch.metrics import bootstrap_interval  # here, since it is seldom needed

    if len(new) < 2:
        return {"recall": math.nan, "recall_interval": (math.nan, math.nan)}
    mapped, own = similarities(mapping, old, new), unit(new) @ unit(new).T
    each = recalls(mapped, own)
    found: dict[str, Any] = {"recall": float(each.mean()), "recall_interval": bootstrap_interval(each)}
    known = [] if values is None else [i for i, value in enumerate(values) if value not in (None, "")]
    if values is None or len(known) < 2:
        return found
    kinds = np.array([str(values[place]) for place in known])
    at = np.ix_(known, known)
    before = (unit(old) @ unit(old).T)[at]
    firsts = [_first_agrees(each, kinds) for each in (mapped[at], before, own[at])]
    shares = [float(first.mean()) for first in firsts]
    found |= dict(zip(("precision", "old_precision", "new_precision"), shares, strict=True))
    found["kept"] = shares[0] / shares[2] if shares[2] else math.nan
    found["kept_interval"] = _ratio_interval(firsts[0], firsts[2])
    return found


def _first_agrees(found: NDArray[np.float32], kinds: NDArray[Any]) -> NDArray[np.bool_]:
    others = found.copy()
    np.fill_diagonal(others, -np.inf)
    agrees: NDArray[np.bool_] = kinds[others.argmax(axis=1)] == kinds
    return agrees


def _ratio_interval(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the 95 % interval of the ratio of two means over the same queries."""
    drawn = np.random.default_rng(0).integers(len(one), size=(_RESAMPLES, len(one)))
    below = other[drawn].mean(axis=1)
    ratios = one[drawn].mean(axis=1)[below > 0] / below[below > 0]
    if not len(ratios):
        return math.nan, math.nan
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)

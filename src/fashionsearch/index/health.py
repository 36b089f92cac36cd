"""An index audits itself: what it finds against exact search, and how its embeddings lie."""

from __future__ import annotations

import dataclasses
import time
import warnings

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index.engines.base import Engine, fetch_present
from fashionsearch.index.rows import LOWEST_EF
from fashionsearch.results import Health

K = 10
_QUERIES = 500
_SAMPLE = 2000
_HIGHEST_EF = 4096
_FINENESS = 16  # an ef that is larger than the smallest by less than one part of so many will do
_PATIENCE = 0.5  # seconds in which a search may verify rows
_MARGIN = 1.0  # standard errors of the recall


def queries(engine: Engine, count: int) -> NDArray[np.float32]:
    """Return vectors that lie half-way between items and near neighbours: like those to come, and in no index.

    Args:
        engine: holds the items.
        count: how many queries, at most.
    """
    ids = list(engine)
    rng = np.random.default_rng(0)
    chosen = [ids[place] for place in rng.choice(len(ids), min(count, len(ids)), replace=False)]
    rows = fetch_present(engine, chosen)
    chosen, vectors = list(rows.ids), rows.vectors
    found = engine.search(vectors, K + 1, None, True)
    places = rng.integers(1, np.maximum(2, found.counts))
    there = places < found.counts
    neighbours = [found.ids[row, place] if there[row] else chosen[row] for row, place in enumerate(places)]
    known = fetch_present(engine, list(dict.fromkeys(neighbours)))
    place = {item: number for number, item in enumerate(known.ids)}
    others = np.stack(
        [known.vectors[place[item]] if item in place else vectors[row] for row, item in enumerate(neighbours)]
    )
    if engine.settings.metric == "cosine":
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        others = others / np.linalg.norm(others, axis=1, keepdims=True)
    middle = (vectors + others) / 2
    lengths = np.linalg.norm(middle, axis=1)
    # Opposite vectors have nothing between them.
    return np.where(lengths[:, None] > 1e-3, middle, vectors).astype(np.float32)


def recalls(
    engine: Engine, asked: NDArray[np.float32], truth: NDArray[np.object_] | None = None
) -> NDArray[np.float64]:
    """Return the recall@10 of each query against exact search, whose (n, 10) ids may be known."""
    from fashionsearch.metrics.recall import recalls as shares  # here, since it is seldom needed

    if truth is None:
        truth = engine.search(asked, K, None, True).ids
    return np.array(shares(engine.search(asked, K, None, False).ids, truth))


def reach(engine: Engine, goal: float) -> bool:
    """Set `ef_search` to about the smallest with which recall@10 is at least a goal.

    A lower one than there is must reach it with a margin, since other queries may be harder. It can be measured only when
    rows are verified for it; until then searches keep to the higher one.

    Returns:
        Whether it is done; where not, `engine.allow(LOWEST_EF)` has to come first.

    Warns:
        DataWarning: if no `ef_search` is enough.
    """
    asked = queries(engine, _QUERIES)
    truth = engine.search(asked, K, None, True).ids

    def enough(ef: int, margin: float) -> bool:
        engine.settings = dataclasses.replace(engine.settings, ef_search=ef)
        found = recalls(engine, asked, truth)
        return bool(found.mean() - margin * found.std() / len(found) ** 0.5 >= goal)

    high = max(LOWEST_EF, engine.settings.ef_search)
    low = LOWEST_EF - 1  # what is not known to be enough
    is_lowered = enough(high, 0)
    until = time.monotonic() + _PATIENCE
    while is_lowered and not engine.allow(LOWEST_EF):
        if time.monotonic() > until:
            return False
    while not is_lowered and not enough(high := 2 * (low := high), 0):
        if high >= _HIGHEST_EF:
            warnings.warn(
                f"recall@10 of {goal:g} isn't reached with ef_search={high}; search with exact=True, or make the index anew "
                "with a larger m and ef_construction",
                errors.DataWarning,
                stacklevel=7,
            )
            return True
    while high - low > max(1, high // _FINENESS):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle, _MARGIN if is_lowered else 0) else (middle, high)
    engine.settings = dataclasses.replace(engine.settings, ef_search=high)
    return True


def check(engine: Engine) -> Health:
    """Return how an engine's items are found and lie."""
    from fashionsearch.metrics import bootstrap_interval  # here, since it is seldom needed

    facts = engine.facts()
    ids = list(engine)
    if not ids:
        nothing = float("nan")
        return Health(
            0, nothing, (nothing, nothing), False, engine.settings.ef_search, 0.0, 0.0, nothing, 0.0, facts.memory,
            facts.disk, facts.checkpoint,
        )  # fmt: skip
    each = recalls(engine, queries(engine, _QUERIES))
    some = np.random.default_rng(1).choice(len(ids), min(_SAMPLE, len(ids)), replace=False)
    sample = fetch_present(engine, [ids[place] for place in some])
    vectors = sample.vectors.astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    n = len(unit)
    cosine = (np.square(unit.sum(axis=0)).sum() - n) / (n * (n - 1)) if n > 1 else 1.0
    strengths = np.linalg.svd(unit, compute_uv=False)
    shares = strengths[strengths > 0] / strengths.sum()
    return Health(
        items=len(ids),
        recall=float(each.mean()),
        recall_interval=bootstrap_interval(each),
        has_graph=engine.has_graph,
        ef_search=engine.settings.ef_search,
        deleted=facts.deleted,
        duplicates=facts.duplicates,
        mean_cosine=float(cosine),
        effective_rank=float(np.exp(-(shares * np.log(shares)).sum())),
        memory=facts.memory,
        disk=facts.disk,
        checkpoint=facts.checkpoint,
    )

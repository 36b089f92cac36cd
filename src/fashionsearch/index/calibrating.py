"""Learning what a likeness is worth: queries whose kind is known, and what an index answers to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.embedding import progress_bar
from fashionsearch.index import filters
from fashionsearch.index.chances import (
    EVIDENCE,
    NEVER,
    Calibration,
    Evidence,
    Logistic,
    features,
    first_of_each,
    outlook,
)
from fashionsearch.index.engines.base import Engine, fetch_present
from fashionsearch.index.rows import Id
from fashionsearch.results import Calibrated, Matches
from fashionsearch.values import Value

# Of (n, dim) vectors: one mapping each, of kinds to the chances that a tagger gives them.
Told: TypeAlias = Callable[[NDArray[np.float32]], Sequence[Mapping[Value, float]]]

FEWEST = 50  # queries, and so many of which something holds and something doesn't
MOST = 2000
_FOLDS = 5
_JUDGED = 10  # first items of a query that are learned from
_AT_ONCE = 500
_FALSE_EMPTY = 0.015  # share of queries that may get an empty answer for nothing
_COVERAGE = 0.95
_BINS = 15


class Queries(NamedTuple):
    """Queries whose kind is known.

    Attributes:
        vectors: (n, dim) float32.
        kinds: n values of the field.
        ids: of queries that are items of the index, which are no answers to themselves; else empty.
    """

    vectors: NDArray[np.float32]
    kinds: Sequence[Value]
    ids: Sequence[Id] = ()


def own_queries(
    engine: Engine, field: str, leave_out: Callable[[Sequence[str | None]], NDArray[np.bool_]]
) -> Queries:
    """Return items of the index as queries.

    Args:
        engine: holds them.
        field: whose value is their kind.
        leave_out: of their sources, (n,) bool, which are none.
    """
    ids = list(engine)
    order = np.random.default_rng(0).permutation(len(ids))[: 3 * MOST]
    rows = fetch_present(engine, [ids[place] for place in np.sort(order).tolist()])
    kinds = [metadata.get(field) for metadata in rows.metadata]
    left_out = leave_out(rows.sources)
    kept = [n for n, kind in enumerate(kinds) if kind not in (None, "") and not left_out[n]]
    kept = [kept[place] for place in np.random.default_rng(1).permutation(len(kept))[:MOST]]
    return Queries(rows.vectors[kept], [kinds[n] for n in kept], [rows.ids[n] for n in kept])


def fit(
    engine: Engine, field: str, queries: Queries, told: Told | None, *, progress: bool
) -> tuple[Calibration, Calibrated]:
    """Learn what a likeness is worth.

    Args:
        engine: holds the items.
        field: whose value is an item's kind.
        queries: whose kind is known.
        told: what a tagger sees in vectors.
        progress: show a bar.

    Raises:
        InputError: if there are too few queries, or all items are of one kind or each of its own.
    """
    n = len(queries.kinds)
    if n < FEWEST or len(set(queries.kinds)) < 2:
        raise errors.InputError(
            f"{n} queries of {len(set(queries.kinds))} kinds of {field!r} are too few to calibrate on; it takes {FEWEST} of "
            "two kinds: add more items, or give images and labels"
        )
    seen = [None] * n if told is None else told(queries.vectors)
    with progress_bar(2 * n, "calibrating", "query", shown=progress) as advance:
        there = _evidence(engine, field, queries, seen, advance, lacking=False)
        lacking = _evidence(engine, field, queries, seen, advance, lacking=True)
    right = [np.array([each.values[label] == kind if label >= 0 else False for label in each.labels], dtype=bool)
             for each, kind in zip(there, queries.kinds, strict=True)]  # fmt: skip
    counted = np.concatenate([each[:_JUDGED] for each in right])
    if min(counted.sum(), (~counted).sum()) < FEWEST // 5:
        raise errors.InputError(
            f"{counted.sum():,} of the {len(counted):,} items nearest to {n:,} queries are of the query's {field!r}, so "
            "nothing can be learned of what tells them apart; choose another field"
        )
    return _fitted(field, there, lacking, right, tagged=told is not None)


def _evidence(
    engine: Engine,
    field: str,
    queries: Queries,
    seen: Sequence[Mapping[Value, float] | None],
    advance: Callable[[int], object],
    *,
    lacking: bool,
) -> list[Evidence]:
    """Return what each query is judged by; with `lacking`, as if the index held none of its kind."""
    found: list[Any] = [None] * len(queries.kinds)
    groups: dict[Value, list[int]] = {}
    for number, kind in enumerate(queries.kinds):
        groups.setdefault(kind if lacking else None, []).append(number)
    for kind, numbers in groups.items():
        condition = filters.parse({"not": {field: kind}}) if lacking else None
        for start in range(0, len(numbers), _AT_ONCE):
            some = numbers[start : start + _AT_ONCE]
            matches = engine.search(queries.vectors[some], EVIDENCE + 1, condition, False)
            matches = _without(matches, [queries.ids[number] for number in some] if queries.ids else [])
            for place, number in enumerate(some):
                found[number] = Evidence.of(matches, place, field, seen[number])
            advance(len(some))
    return found


def _without(matches: Matches, ids: Sequence[Id]) -> Matches:
    """Return the first places of each query, itself left out."""
    orders = []
    for query, count in enumerate(matches.counts.tolist()):
        own = ids[query] if ids else None
        places = [place for place in range(count) if own is None or matches.ids[query, place] != own]
        orders.append(places[:EVIDENCE])
    return matches.chosen(orders, EVIDENCE)


def _fitted(
    field: str,
    there: list[Evidence],
    lacking: list[Evidence],
    right: list[NDArray[np.bool_]],
    *,
    tagged: bool,
) -> tuple[Calibration, Calibrated]:
    """Return the fitted functions, and how well they hold on queries that were left out in turn."""
    from sklearn.isotonic import IsotonicRegression

    n = len(there)
    fold = np.random.default_rng(2).permutation(n) % _FOLDS
    inputs = [
        features(each, each.labels, each.similarities) for each in there
    ]  # an unknown kind is that of the last
    judged = [np.flatnonzero(each.labels[:_JUDGED] >= 0) for each in there]
    raw: list[Any] = [None] * n
    for part in range(_FOLDS):
        learned, held = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
        same = _logistic([inputs[q][judged[q]] for q in learned], [right[q][judged[q]] for q in learned])
        for query in held:
            raw[query] = same(inputs[query])
    hits = np.concatenate([right[q][judged[q]] for q in range(n)])
    guesses = np.concatenate([raw[q][judged[q]] for q in range(n)])
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(guesses, hits)
    steps = np.stack([isotonic.X_thresholds_, isotonic.y_thresholds_]).astype(np.float64)
    same = _logistic([inputs[q][judged[q]] for q in range(n)], [right[q][judged[q]] for q in range(n)])
    outlooks = [np.stack([outlook(each) for each in some]) for some in (there, lacking)]
    odds = np.zeros((2, n))
    for part in range(_FOLDS):
        learned, held = fold != part, fold == part
        absent = _logistic(
            [each[learned] for each in outlooks], [np.zeros(learned.sum()), np.ones(learned.sum())]
        )
        odds[:, held] = [absent(each[held]) for each in outlooks]
    threshold = float(np.quantile(odds[0], 1 - _FALSE_EMPTY))
    absent = _logistic(outlooks, [np.zeros(n), np.ones(n)])
    # A query that gets an empty answer for nothing gets none of its kind: the promise is kept with these counted.
    answered = odds[0] <= threshold
    before = [
        _before(there[q], np.interp(raw[q], *steps), right[q]) if answered[q] else NEVER for q in range(n)
    ]
    needed = np.sort(np.array(before))
    calibration = Calibration(field, tagged, same, steps, absent, threshold, needed)
    lengths = [
        len(calibration.listed(there[q].labels, np.interp(raw[q], *steps), _COVERAGE)) for q in range(n)
    ]
    chances = np.interp(guesses, *steps)
    return calibration, Calibrated(
        field=field,
        queries=n,
        precision=float(hits.mean()),
        auc=_auc(hits, chances),
        calibration_error=_error(
            hits, _cross_corrected(guesses, hits, np.repeat(fold, [len(each) for each in judged]))
        ),
        length=float(np.mean(lengths)),
        told_empty=float((odds[1] > threshold).mean()),
        false_empty=float((odds[0] > threshold).mean()),
    )


def _before(evidence: Evidence, chances: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return what the chances of the kinds before the right one add up to, each by its nearest item."""
    if not right.any():
        return NEVER
    first = int(np.argmax(right))
    return float(chances[first_of_each(evidence.labels[:first])].sum())


def _logistic(inputs: Sequence[NDArray[np.float64]], outcomes: Sequence[NDArray[Any]]) -> Logistic:
    """Return a logistic regression of what belongs together."""
    from sklearn.linear_model import LogisticRegression

    features_, outcomes_ = np.concatenate(inputs), np.concatenate(outcomes).astype(np.int64)
    mean, spread = features_.mean(axis=0), features_.std(axis=0)
    spread[spread == 0] = 1
    if outcomes_.min() == outcomes_.max():  # a fold that happens to hold one outcome alone
        return Logistic(np.zeros(features_.shape[1]), 20.0 if outcomes_[0] else -20.0)
    model = LogisticRegression(max_iter=5000).fit((features_ - mean) / spread, outcomes_)
    weight = model.coef_[0] / spread
    return Logistic(weight, float(model.intercept_[0] - weight @ mean))


def _cross_corrected(
    guesses: NDArray[np.float64], hits: NDArray[np.bool_], fold: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return guesses, each corrected by what the other folds tell."""
    from sklearn.isotonic import IsotonicRegression

    found = np.zeros(len(guesses))
    for part in range(_FOLDS):
        learned = fold != part
        isotonic = IsotonicRegression(out_of_bounds="clip").fit(guesses[learned], hits[learned])
        found[~learned] = isotonic.predict(guesses[~learned])
    return found


def _auc(hits: NDArray[np.bool_], chances: NDArray[np.float64]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(hits, chances))


def _error(hits: NDArray[np.bool_], chances: NDArray[np.float64]) -> float:
    """Return the expected calibration error in bins of equal size."""
    bins = np.array_split(np.argsort(chances, kind="stable"), _BINS)
    gaps = [len(each) * abs(chances[each].mean() - hits[each].mean()) for each in bins if len(each)]
    return float(sum(gaps) / len(chances))

"""Chances in place of cosines: calibration, lists that keep a promise, and "this catalogue has no such thing".

The gallery holds articleType alone. The index is calibrated on the validation photos that are not in the gallery, and on
those that are, each searched without itself. Test queries then search the gallery: the first ten hits of all are pooled for
calibration error (15 bins of equal size) and AUC; lists at a coverage of 0.95 hold at most 50 items. Then twenty types, drawn
by seed from those with ten test photos or more, are each taken out of the catalogue in turn: their photos should get an empty
answer, the others none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fashion import mean
from sklearn.metrics import roc_auc_score

import fashionsearch as fs
from buying.data import Array, Data, Part, embedded
from fashionsearch.index import calibrating

FIELD, LONGEST, TYPES, PHOTOS, BINS = "articleType", 50, 20, 10, 15
Row = dict[str, Any]


def error(right: Array, chances: Array) -> float:
    """Return the calibration error in bins of equal size."""
    bins = np.array_split(np.argsort(chances.ravel(), kind="stable"), BINS)
    hits, told = right.ravel(), chances.ravel()
    return float(sum(len(each) * abs(told[each].mean() - hits[each].mean()) for each in bins) / len(told))


def by_query(statistic: Any, right: Array, chances: Array) -> tuple[float, float]:
    """Return a 95 % interval by drawing queries anew, all of whose hits go together."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(right), len(right)) for _ in range(300)]
    low, high = np.quantile([statistic(right[some], chances[some]) for some in drawn], [0.025, 0.975])
    return float(low), float(high)


def by_chance(kinds: Array, chances: Array) -> tuple[float, float, float]:
    """Return the calibration error of chances that are exactly right, on so many queries: its mean, and 95 % of 200 draws.

    Of each query it is drawn which kind it is of, or none of them, by what the chances of its first hits' kinds are; hits of
    one kind are right or wrong together.
    """
    rng, drawn = np.random.default_rng(0), []
    first = np.array([[row.index(kind) for kind in row] for row in kinds.tolist()])  # the first of its kind
    is_first = first == np.arange(kinds.shape[1])
    sums = np.take_along_axis(np.cumsum(np.where(is_first, chances, 0), axis=1), first, axis=1)
    total = np.maximum(sums.max(axis=1, keepdims=True), 1)
    ends, told = sums / total, np.take_along_axis(chances, first, axis=1) / total
    for _ in range(200):
        place = rng.random((len(kinds), 1))
        drawn.append(error((place < ends) & (place >= ends - told), told))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.mean(drawn)), float(low), float(high)


def calibrated(index: fs.VisualIndex, more: Part, vectors: Array, own: Array) -> None:
    """Calibrate an index on photos that its encoder never learned from: those of `more`, and its own items of some ids."""
    ids = [int(item) for item in np.flatnonzero(own)]
    rows = index._engine.fetch(ids)
    kinds = [row[FIELD] for row in rows.metadata]
    asked = calibrating.Queries(
        np.concatenate([vectors, rows.vectors]), [*more[FIELD].tolist(), *kinds], [*[-1] * len(vectors), *ids]
    )
    known = [n for n, kind in enumerate(asked.kinds) if kind]
    some = calibrating.Queries(
        asked.vectors[known], [asked.kinds[n] for n in known], [asked.ids[n] for n in known]
    )
    is_tagged = index._seen(FIELD, some.vectors[:1]) is not None
    fitted, report = calibrating.fit(
        index._engine,
        FIELD,
        some,
        (lambda rows: index._seen(FIELD, rows) or []) if is_tagged else None,
        progress=False,
    )
    index._keep(fitted)
    print(report, flush=True)


def measure(data: Data, encoder: str, *, validation: bool) -> list[Row]:
    """Return the rows of one encoder; on validation, queries are the half of its photos that calibration doesn't see."""
    is_validation = data.is_validation
    apart = is_validation[: len(data.gallery)]
    spare = data.more.rows(is_validation[len(data.gallery) :])
    queries = data.test
    if validation:
        half = np.arange(len(spare)) % 2 == 0
        spare, queries = spare.rows(half), spare.rows(~half)
    gallery = data.gallery
    vectors, asked = embedded(encoder, gallery.images), embedded(encoder, queries.images)
    known = queries[FIELD] != ""
    asked, truth = asked[known], queries[FIELD][known]
    index = fs.VisualIndex(encoder, progress=False)
    index.add_vectors(vectors, metadata={FIELD: [kind or None for kind in gallery[FIELD]]})
    calibrated(index, spare, embedded(encoder, spare.images), apart)
    rows = []
    found = index.search_vectors(asked, k=10)
    kinds = np.array([[row[FIELD] if row else None for row in each] for each in found.metadata], dtype=object)
    right, chances = kinds == truth[:, None], found.probabilities
    keep = np.isfinite(chances).all(axis=1)
    for name, statistic in (
        ("calibration error", error),
        ("AUC", lambda a, b: float(roc_auc_score(a.ravel(), b.ravel()))),
    ):
        low, high = by_query(statistic, right[keep], chances[keep])
        value = statistic(right[keep], chances[keep])
        rows.append({"measure": name, "value": value, "low": low, "high": high, "examples": int(keep.sum())})
    value, low, high = by_chance(kinds[keep], chances[keep])
    rows.append(
        {
            "measure": "calibration error of chances that are exactly right",
            "value": value,
            "low": low,
            "high": high,
        }
    )
    lists = index.search_vectors(asked, k=LONGEST, coverage=0.95)
    answered = lists.counts > 0
    holds = np.array(
        [
            any(row[FIELD] == kind for row in each[:count])
            for each, count, kind in zip(lists.metadata, lists.counts, truth, strict=True)
        ]
    )
    rows.append(mean("coverage of lists at 0.95, of all queries", holds))
    rows.append(mean("coverage of lists at 0.95, of those answered", holds[answered]))
    rows.append(mean("length of lists at 0.95", lists.counts[answered]))
    frequent = [
        kind for kind in np.unique(truth) if (truth == kind).sum() >= (PHOTOS if not validation else 5)
    ]
    drawn = np.random.default_rng(0).permutation(frequent)[:TYPES]
    told, false = [], []
    for kind in drawn:
        without = fs.VisualIndex(encoder, engine="exact", progress=False)
        stays = gallery[FIELD] != kind
        without.add_vectors(
            vectors[stays],
            ids=np.flatnonzero(stays).tolist(),
            metadata={FIELD: [each or None for each in gallery[FIELD][stays]]},
        )
        calibrated(
            without,
            spare.rows(spare[FIELD] != kind),
            embedded(encoder, spare.rows(spare[FIELD] != kind).images),
            apart & stays,
        )
        empty = without.search_vectors(asked, k=10, coverage=0.95).counts == 0
        told.append(empty[truth == kind].mean())
        false.append(empty[truth != kind].mean())
        print(kind, told[-1], false[-1], flush=True)
    rows.append(mean("nothing said, of a type that was taken out", np.array(told)))
    rows.append(mean("false empties, of the other types", np.array(false)))
    return rows

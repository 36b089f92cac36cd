"""Likes, dislikes and logs of clicks.

`next page`: each query photo finds a first page of ten; those of its articleType and baseColour are liked, the others are
not. Precision@10 of what comes next: without the judgements the places 11 to 20, with them what `like=` and `unlike=` find.
The gain is that of the mean, with a bootstrap over queries.

`clicks`: 5,000 pages of the first ten, of photos of the validation names, which `fashion` never learned from. A place is
seen with chance 1/rank, or 1/√rank, and what is seen is clicked with chance 0.8 if it is of the query's articleType and
baseColour, 0.1 if not. The gain that `learn_clicks` estimates, the one that ignores the bias of positions, and the true gain
in precision@10 on photos that are no queries of the log, in shares.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fashion import mean

import fashionsearch as fs
from buying.data import Array, Data, Part, embedded

KIND = ("articleType", "baseColour")
PAGE = 10
PAGES, GOOD, BAD, SEED = 5000, 0.8, 0.1, 0
Row = dict[str, Any]


def measure(data: Data, encoder_name: str, *, validation: bool = False) -> list[Row]:
    """Return the rows of one encoder."""
    gallery, queries = parts(data, validation)
    vectors = embedded(encoder_name, gallery.images)
    asked = embedded(encoder_name, queries.images)
    kinds, wanted = gallery.kinds(*KIND), queries.kinds(*KIND)
    return [
        *next_pages(kinds, vectors, wanted, asked),
        *clicks(data, encoder_name, (kinds, vectors), (wanted, asked), validation=validation),
    ]


def parts(data: Data, validation: bool) -> tuple[Part, Part]:
    """Return gallery and queries: of the test, or for choosing."""
    if not validation:
        return data.gallery, data.test
    chosen = data.is_validation[: len(data.gallery)]
    return data.gallery.rows(~chosen), data.gallery.rows(chosen)


def next_pages(kinds: Array, vectors: Array, wanted: Array, queries: Array) -> list[Row]:
    """Return precision@10 of the next page without judgements and with them, and the gain."""
    index = fs.VisualIndex(dim=vectors.shape[1], progress=False)
    index.add_vectors(vectors)
    plain = index.search_vectors(queries, 2 * PAGE, exact=True).ids.astype(int)
    without = (kinds[plain[:, PAGE:]] == wanted[:, None]).mean(axis=1)
    after = np.zeros(len(queries))
    for place, (query, page) in enumerate(zip(queries, plain[:, :PAGE].tolist(), strict=True)):
        good = kinds[page] == wanted[place]
        liked = [item for item, is_good in zip(page, good, strict=True) if is_good]
        unliked = [item for item in page if item not in liked]
        found = index.search_vectors(query, PAGE, like=liked, unlike=unliked).ids[0].astype(int)
        after[place] = (kinds[found] == wanted[place]).mean()
    rows = [mean("next page P@10 without judgements", without), mean("next page P@10 after ten", after)]
    gain = after.mean() / without.mean() - 1
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(queries), size=(2000, len(queries)))
    low, high = np.quantile(after[drawn].mean(axis=1) / without[drawn].mean(axis=1) - 1, [0.025, 0.975])
    return [
        *rows,
        {
            "measure": "next page P@10, gain",
            "value": float(gain),
            "low": float(low),
            "high": float(high),
            "examples": len(queries),
        },
    ]


def clicks(
    data: Data,
    encoder_name: str,
    gallery: tuple[Array, Array],
    test: tuple[Array, Array],
    *,
    validation: bool,
) -> list[Row]:
    """Return estimated and true gains of what is learned from simulated clicks."""
    kinds, vectors = gallery
    is_logged = data.is_validation.copy()
    if validation:
        is_logged[: len(data.gallery)] = False  # which are measured on
    logged = data.known.rows(is_logged)
    asked, wanted = embedded(encoder_name, logged.images), logged.kinds(*KIND)
    index = fs.VisualIndex(dim=vectors.shape[1], progress=False)
    index.add_vectors(vectors)
    # A photo of the gallery is no answer to itself.
    names = {str(image): place for place, image in enumerate(data.gallery.images)} if not validation else {}
    own = [names.get(str(image)) for image in logged.images]
    found = index.search_vectors(asked, PAGE + 1, exact=True).ids.tolist()
    shown = [[item for item in row if item != me][:PAGE] for row, me in zip(found, own, strict=True)]
    rows = []
    for name, power in (("1/rank", 1.0), ("1/√rank", 0.5)):
        rng = np.random.default_rng(SEED)
        log = []
        for place in rng.integers(len(asked), size=PAGES).tolist():
            seen = rng.random(PAGE) < np.arange(1, PAGE + 1) ** -power
            good = kinds[shown[place]] == wanted[place]
            hits = seen & (rng.random(PAGE) < np.where(good, GOOD, BAD))
            clicked = [item for item, hit in zip(shown[place], hits, strict=True) if hit]
            log.append((asked[place] if own[place] is None else own[place], shown[place], clicked))
        report = index.learn_clicks(log)
        print(report)
        each = []
        for use in (False, True):
            index.use_clicks(use)
            ids = index.search_vectors(test[1], PAGE, exact=True).ids.astype(int)
            each.append((kinds[ids] == test[0][:, None]).mean(axis=1))
        index.use_clicks(False)
        truth = mean(f"clicks, seen by {name}: true gain in P@10", each[1] - each[0])
        estimates = (
            ("estimated", report.gain, report.interval),
            ("naively estimated", report.naive_gain, report.naive_interval),
        )
        rows += [
            truth,
            *(
                {
                    "measure": f"clicks, seen by {name}: {what} gain in P@10",
                    "value": value,
                    "low": interval[0],
                    "high": interval[1],
                    "examples": PAGES,
                }
                for what, value, interval in estimates
            ),
        ]
    return rows

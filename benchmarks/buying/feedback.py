"""Likes, dislikes and logs of clicks.

`next page`: each query photo finds a first page of ten; those of its articleType and baseColour are liked, the others are
not. Precision@10 of what comes next: without the judgements the places 11 to 20, with them what `like=` and `unlike=` find.
The gain is that of the mean, with a bootstrap over queries.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import fashionsearch as fs
from buying.data import Array, Data, Part, embedded

KIND = ("articleType", "baseColour")
PAGE = 10
Row = dict[str, Any]


def measure(data: Data, encoder_name: str, *, validation: bool = False) -> list[Row]:
    """Return the rows of one encoder."""
    gallery, queries = parts(data, validation)
    vectors = embedded(encoder_name, gallery.images)
    asked = embedded(encoder_name, queries.images)
    return next_pages(gallery.kinds(*KIND), vectors, queries.kinds(*KIND), asked)


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
    rows = [_mean("next page P@10 without judgements", without), _mean("next page P@10 after ten", after)]
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


def _mean(measure: str, values: Array) -> Row:
    low, high = fs.metrics.bootstrap_interval(values)
    return {"measure": measure, "value": float(values.mean()), "low": low, "high": high, "examples": len(values)}

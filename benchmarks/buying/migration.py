"""A new encoder on an index of another one's vectors: the first hit has the query's articleType.

Queries are the test photos, the gallery is rows 1 to 10,000, and both engines compare with every item. The map is learned
from 1,000 items of the gallery, drawn by each of five seeds, over which the hits of a query are averaged; intervals of ratios
are by bootstrap over queries. "mapped" has no new vector at all, "half" has those of a half of the gallery, drawn likewise.
The encoder that is named is the new one; the old one is the other: frozen Lite0 for `fashion`, and the way back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fashion import mean

import fashionsearch as fs
from buying.data import ENCODERS, Data, Part, embedded
from fashionsearch.index.engines.migrating import MigratingEngine
from fashionsearch.index.mapping import learn

FIELD = "articleType"
PAIRS = 1000
SEEDS = range(5)
_RESAMPLES = 2000
Array = np.ndarray[Any, Any]


def measure(data: Data, encoder: str, *, validation: bool = False) -> list[dict[str, Any]]:
    """Return the rows of one new encoder."""
    gallery, queries = _parts(data, validation)
    before = next(name for name in ENCODERS if name != encoder)
    old, new = ([embedded(name, part.images) for part in (gallery, queries)] for name in (before, encoder))
    hits: dict[str, list[Array]] = {"mapped": [], "half": []}
    kinds = set()
    for seed in SEEDS:
        order = np.random.default_rng(seed).permutation(len(gallery))
        mapping = learn(old[0][order[:PAIRS]], new[0][order[:PAIRS]], random_state=seed)
        kinds.add(mapping.kind)
        engine = MigratingEngine(_engine(old[0]), _engine(new[0][:0]), mapping)
        hits["mapped"].append(_hits(engine, new[1], gallery, queries))
        half = np.random.default_rng(100 + seed).permutation(len(gallery))[: len(gallery) // 2].tolist()
        engine.place(engine.old.fetch(half), new[0][half])
        hits["half"].append(_hits(engine, new[1], gallery, queries))
    means = {name: np.mean(each, axis=0) for name, each in hits.items()}
    means["old"] = _hits(_engine(old[0]), old[1], gallery, queries)
    means["new"] = _hits(_engine(new[0]), new[1], gallery, queries)
    rows = [mean(f"P@1: {name}", each) for name, each in means.items()]
    for one, other in (("mapped", "old"), ("half", "mapped"), ("mapped", "new"), ("half", "new")):
        rows.append(_ratio(f"{one} over {other}", means[one], means[other]))
    about = {"old encoder": before, "pairs": PAIRS, "seeds": len(SEEDS), "map": " ".join(sorted(kinds))}
    return [{**row, **about} for row in rows]


def _parts(data: Data, validation: bool) -> tuple[Part, Part]:
    if not validation:
        return data.gallery, data.test.rows(data.test[FIELD] != "")
    chosen = data.is_validation[: len(data.gallery)]
    return data.gallery.rows(~chosen), data.gallery.rows(chosen & (data.gallery[FIELD] != ""))


def _engine(vectors: Array) -> Any:
    index = fs.VisualIndex(dim=vectors.shape[1], engine="exact", progress=False)
    index.add_vectors(vectors, ids=range(len(vectors)))
    return index._engine


def _hits(engine: Any, asked: Array, gallery: Part, queries: Part) -> Array:
    """Return (n,) whether the first one found has the query's value."""
    found = engine.search(asked, 1, None, True).ids[:, 0].astype(np.intp)
    return (gallery[FIELD][found] == queries[FIELD]).astype(np.float64)


def _ratio(measure: str, one: Array, other: Array) -> dict[str, Any]:
    drawn = np.random.default_rng(0).integers(len(one), size=(_RESAMPLES, len(one)))
    ratios = one[drawn].mean(axis=1) / other[drawn].mean(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    value = float(one.mean() / other.mean())
    return {"measure": measure, "value": value, "low": float(low), "high": float(high), "examples": len(one)}

"""A log of clicks: read and checked, learned from, and what that is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index.clicks import (
    ClickMetric,
    Floats,
    Goodness,
    Pages,
    goodness,
    likenesses,
    looked_at,
    page_means,
    principal_axes,
)
from fashionsearch.index.engines.base import Engine
from fashionsearch.index.judgements import is_file
from fashionsearch.index.queries import unit
from fashionsearch.index.rows import Id, as_ids, check_id, check_vectors
from fashionsearch.results.clicks import ClickReport

Embed: TypeAlias = Callable[[list[Any]], NDArray[np.float32]]
Log: TypeAlias = "Iterable[tuple[Any, Sequence[Id], Sequence[Id]]]"

_LEAST = 200  # clicks
_FEWEST_QUERIES = 10
_FIRST = 10  # places that precision is of
_SURE = 0.02  # chance to be looked at, below which a click would count too much
_NAMED = 5


@dataclass(frozen=True, eq=False)
class ClickLog:
    """A checked log.

    Attributes:
        pages: all places; their ids are positions in `shown`.
        shown: ids of each page.
        queries: (n,) for each page the number of its query; pages of one query have the same.
        own: the id of the item that each page was searched by, or None.
    """

    pages: Pages
    shown: Sequence[Sequence[Id]]
    queries: NDArray[np.intp]
    own: Sequence[Id | None]


def read(log: Log, engine: Engine, embed_photos: Embed, embed_texts: Embed) -> ClickLog:
    """Return a checked log.

    Raises:
        InputError: if an entry isn't (query, shown ids, clicked ids), an id is shown twice on a page, something was clicked
            that wasn't shown, or there are too few clicks.
        UnknownIdError: if an item was shown that isn't there.
    """
    if isinstance(log, str | bytes) or not isinstance(log, Iterable):
        raise errors.InputError(
            f"the log is of type {type(log).__name__}; give a list of (query, shown ids, clicked ids)"
        )
    entries = [_entry(place, entry) for place, entry in enumerate(log)]
    clicks = sum(len(clicked) for _, _, clicked in entries)
    if clicks < _LEAST:
        raise errors.InputError(
            f"the log has {clicks:,} clicks on {len(entries):,} pages, and at least {_LEAST} clicks are needed to learn "
            "from; wait for more"
        )
    used = list(dict.fromkeys(item for _, shown, _ in entries for item in shown))
    missing = [item for item in used if item not in engine]
    if missing:
        names = ", ".join(repr(item)[:80] for item in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        raise errors.UnknownIdError(
            f"the log shows items that the index doesn't hold: {names}{more}; leave the pages of removed items out"
        )
    vectors, numbers, own = _queries([query for query, _, _ in entries], engine, embed_photos, embed_texts)
    row_of = {item: row for row, item in enumerate(used)}
    items = unit(engine.fetch(used).vectors)
    sizes = [len(shown) for _, shown, _ in entries]
    pages = Pages(
        vectors,
        np.repeat(np.arange(len(entries)), sizes),
        items[[row_of[item] for _, shown, _ in entries for item in shown]],
        np.concatenate([np.arange(size) for size in sizes]),
        np.array([item in clicked for _, shown, clicked in entries for item in shown]),
    )
    return ClickLog(pages, [shown for _, shown, _ in entries], numbers, own)


def _entry(place: int, entry: Any) -> tuple[Any, list[Id], set[Id]]:
    if not isinstance(entry, tuple | list) or len(entry) != 3:
        raise errors.InputError(
            f"entry {place} of the log is of type {type(entry).__name__}; give (query, shown ids in order, clicked ids)"
        )
    query, shown, clicked = entry
    ids = [check_id(item) for item in as_ids(shown)]
    hits = {check_id(item) for item in as_ids(clicked)}
    if len(set(ids)) < len(ids):
        twice = next(item for item in ids if ids.count(item) > 1)
        raise errors.InputError(f"entry {place} of the log shows {twice!r} twice; name each item once")
    strangers = hits.difference(ids)
    if strangers:
        raise errors.InputError(
            f"entry {place} of the log has a click on {min(strangers, key=str)!r}, which it doesn't show; name all that was "
            "shown, in order"
        )
    return query, ids, hits


def _queries(
    given: Sequence[Any], engine: Engine, embed_photos: Embed, embed_texts: Embed
) -> tuple[NDArray[np.float32], NDArray[np.intp], list[Id | None]]:
    """Return (n, dim) unit vectors, the number of each one's query, and the ids of queries that are items."""
    kinds: dict[str, list[int]] = {"item": [], "vector": [], "photo": [], "text": []}
    keys: list[Any] = []
    for place, query in enumerate(given):
        kind = _kind(query, engine)
        kinds[kind].append(place)
        if kind == "vector":
            keys.append((kind, check_vectors(query, engine.settings.dim).tobytes()))
            continue
        keys.append((kind, query if isinstance(query, str | int | np.integer) else place))
    made = np.zeros((len(given), engine.settings.dim), dtype=np.float32)
    for kind, places in kinds.items():
        if not places:
            continue
        asked = [given[place] for place in places]
        if kind == "item":
            ids = [check_id(item) for item in asked]
            each = list(dict.fromkeys(ids))
            rows = engine.fetch(each).vectors
            made[places] = _by_id(each, rows, ids)
        elif kind == "vector":
            made[places] = np.concatenate([check_vectors(each, engine.settings.dim) for each in asked])
        elif kind == "photo":
            made[places] = embed_photos(asked)
        else:
            made[places] = embed_texts(asked)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    own: list[Id | None] = [None] * len(given)
    for place in kinds["item"]:
        own[place] = check_id(given[place])
    return unit(made), np.array([numbers[key] for key in keys]), own


def _by_id(ids: Sequence[Id], rows: NDArray[np.float32], wanted: Sequence[Id]) -> NDArray[np.float32]:
    place = {item: number for number, item in enumerate(ids)}
    found: NDArray[np.float32] = rows[[place[item] for item in wanted]]
    return found


def _kind(query: Any, engine: Engine) -> str:
    """Return what a query is: an id of the index wins, then a file, and any other text is words."""
    if isinstance(query, bool) or query is None:
        raise errors.InputError(f"query {query!r} of the log is neither an id, a photo, a vector nor a text")
    if isinstance(query, int | np.integer):
        if check_id(query) not in engine:
            raise errors.UnknownIdError(
                f"the log's query {query!r} is no id of the index; leave its pages out"
            )
        return "item"
    if isinstance(query, str):
        return "item" if query in engine else "photo" if is_file(query) else "text"
    if isinstance(query, list | tuple):
        return "vector"
    return "vector" if isinstance(query, np.ndarray) and query.ndim == 1 else "photo"


def learn(log: ClickLog, engine: Engine, sample: NDArray[np.float32]) -> tuple[ClickMetric, ClickReport]:
    """Return the weights that are learned of all pages, and what they are worth.

    The worth is estimated on queries that the weights were not learned from: each half is searched by the other half's
    weights. What is found is valued doubly robustly (Dudík et al. 2011): by the goodness that was fitted to the half itself,
    which chose nothing, and corrected by the clicks where it was shown.

    Raises:
        InputError: if the clicks don't rise with likeness, or there are too few queries.
        DataError: if all clicks are of one query, or the index holds one item.
    """
    from fashionsearch.metrics import bootstrap_interval  # here, since it imports scikit-learn

    if len(sample) < 2:
        raise errors.DataError("the index holds one item, so there is nothing to rank; add others first")
    if len(_clicked(log)) < 2:
        raise errors.DataError(
            "all clicks of the log are of one query, and what was learned of some is measured on others; wait for clicks of "
            "other queries"
        )
    axes = principal_axes(sample)
    chances = looked_at(log.pages)
    model = goodness(log.pages, chances, axes)
    if model.slope <= 0:
        raise errors.InputError(
            "clicks don't rise with the likeness of query and item in this log, so it says nothing of what likeness is; "
            "check that queries and ids belong together, or wait for more clicks"
        )
    fair, naive = (
        _gains(log, pages, engine, axes, looks)
        for pages, looks in ((log.pages, chances), (log.pages.without_bias(), np.ones(1)))
    )
    before, gains = fair
    report = ClickReport(
        len(log.shown),
        int(log.pages.clicked.sum()),
        tuple(float(chance) for chance in chances),
        float(before.mean()),
        float(gains.mean()),
        bootstrap_interval(gains),
        float(naive[1].mean()),
        bootstrap_interval(naive[1]),
    )
    return model.metric(), report


def _gains(
    log: ClickLog, pages: Pages, engine: Engine, axes: NDArray[np.float32], chances: Floats
) -> tuple[Floats, Floats]:
    """Return for each query the precision without weights and what weights that were learned of others add."""
    count = int(log.queries.max()) + 1
    if count < _FEWEST_QUERIES:
        raise errors.InputError(
            f"the log holds {count} different queries, and what was learned of some is measured on others; give "
            f"{_FEWEST_QUERIES} at least"
        )
    is_first = _halved(log, count)
    halves = [is_first[log.queries] == which for which in (True, False)]
    models = [goodness(pages.some(half), chances, axes) for half in halves]
    before, gains = np.zeros(count), np.zeros(count)
    sizes = np.bincount(log.queries, minlength=count)
    for half, own, other in zip(halves, models, reversed(models), strict=True):
        for weighed in (False, True):
            probes = other.metric()(pages.queries[half]) if weighed else pages.queries[half]
            values = _values(log, pages, half, engine, probes, own, chances)
            summed = np.bincount(log.queries[half], values, minlength=count) / sizes
            gains += summed if weighed else -summed
            before += 0 if weighed else summed
    return before, gains


def _clicked(log: ClickLog) -> NDArray[np.intp]:
    """Return the numbers of the queries on whose pages there are clicks."""
    return np.unique(log.queries[log.pages.page[log.pages.clicked]])


def _halved(log: ClickLog, count: int) -> NDArray[np.bool_]:
    """Return (n,) bool: which of so many queries are in the first half; there are clicks in both."""
    rng = np.random.default_rng(0)
    is_first = rng.permutation(count) < count // 2
    clicked = _clicked(log)
    if is_first[clicked].all() or not is_first[clicked].any():
        is_first[rng.choice(clicked, len(clicked) // 2, replace=False)] ^= True
    return is_first


def _values(
    log: ClickLog,
    pages: Pages,
    half: NDArray[np.bool_],
    engine: Engine,
    probes: NDArray[np.float32],
    model: Goodness,
    chances: Floats,
) -> Floats:
    """Return the share of good ones among the first places that each page's query finds now."""
    numbers = np.flatnonzero(half)
    found = engine.search(probes, _FIRST + 1, None, False)
    lists = [
        [item for item in row if item is not None and item != log.own[number]][:_FIRST]
        for number, row in zip(numbers.tolist(), found.ids.tolist(), strict=True)
    ]
    distinct = list(dict.fromkeys(item for items in lists for item in items))
    vectors = _by_id(distinct, unit(engine.fetch(distinct).vectors), [item for row in lists for item in row])
    page = np.repeat(numbers, [len(items) for items in lists])
    means = page_means(pages, likenesses(pages.queries[pages.page], pages.items))
    values = model(pages.queries[page], vectors, means[page])
    shown = {
        (number, item): (place, is_hit)
        for number, items, (places, hits) in zip(
            range(len(log.shown)), log.shown, _by_page(pages), strict=True
        )
        for item, place, is_hit in zip(items, places, hits, strict=True)
    }
    flat = [item for items in lists for item in items]
    for position, key in enumerate(zip(page.tolist(), flat, strict=True)):
        if key in shown:
            place, is_hit = shown[key]
            values[position] += is_hit / max(float(chances[place]), _SURE) - values[position]
    sizes = np.maximum([len(items) for items in lists], 1)
    return np.bincount(np.searchsorted(numbers, page), values, minlength=len(numbers)) / sizes


def _by_page(pages: Pages) -> list[tuple[list[int], list[bool]]]:
    ends = np.searchsorted(pages.page, np.arange(len(pages.queries) + 1))
    return [
        (pages.places[begin:end].tolist(), pages.clicked[begin:end].tolist())
        for begin, end in pairwise(ends.tolist())
    ]

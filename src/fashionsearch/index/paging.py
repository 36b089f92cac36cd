"""Which of what an engine finds is shown: a page of it, without what was shown before, each product once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from fashionsearch.index.rows import Id
from fashionsearch.results import Matches
from fashionsearch.results.matches import joined

Find: TypeAlias = Callable[
    [int, bool], Matches
]  # how many for each query, and whether by comparing with every item

_WIDER = 4


def first_page(find: Find, k: int, exclude: frozenset[Id], group_by: str | None) -> Matches:
    """Return the k nearest of each query.

    Args:
        find: searches.
        k: places of a page.
        exclude: ids that are no answers.
        group_by: the metadata field of which each value is shown once, by its nearest item; None shows every item. Items
            without a value are shown each.
    """
    nothing: list[set[Any]] = []
    return _distinct(find, k, exclude, group_by, nothing, exact=False)


def later_page(
    find: Find, first: Matches, k: int, offset: int, exclude: frozenset[Id], group_by: str | None
) -> Matches:
    """Return the places from `offset` on of what is found, k for each query.

    The first k places are those of the first page; all after them are in the order of exact search. So pages of one size
    hold each item once, however the first was found.

    Args:
        find: searches.
        first: the first page, as it was shown.
        k: as for `first_page`.
        offset: places before the page.
        exclude: as for `first_page`.
        group_by: likewise.
    """
    seen = [
        {_key(first, query, place, group_by) for place in range(count)}
        for query, count in enumerate(first.counts.tolist())
    ]
    rest = _distinct(find, offset, exclude, group_by, seen, exact=True)
    return _slice(first, rest, offset)


def _distinct(
    find: Find, k: int, exclude: frozenset[Id], group_by: str | None, seen: Sequence[set[Any]], *, exact: bool
) -> Matches:
    """Return the k nearest of each query that are not excluded, of no group that was seen, and of one group each."""
    width = k + len(exclude) + max(map(len, seen), default=0) + (k if group_by else 0)
    while True:
        found = find(width, exact)
        orders = [
            _chosen(found, query, k, exclude, group_by, seen[query] if seen else set())
            for query in range(len(found))
        ]
        enough = (len(order) >= k or count < width for order, count in zip(orders, found.counts, strict=True))
        if all(enough):
            return found.chosen(orders, min(k, found.ids.shape[1]))
        width *= _WIDER


def _chosen(
    found: Matches, query: int, k: int, exclude: frozenset[Id], group_by: str | None, seen: set[Any]
) -> list[int]:
    """Return the places of one query's answers that are kept."""
    kept: list[int] = []
    known = set(seen)
    for place in range(int(found.counts[query])):
        if found.ids[query, place] in exclude:
            continue
        key = _key(found, query, place, group_by)
        if key not in known:
            known.add(key)
            kept.append(place)
            if len(kept) == k:
                break
    return kept


def _key(found: Matches, query: int, place: int, group_by: str | None) -> tuple[Any, ...]:
    """Return what two items share that are shown once."""
    value = None if group_by is None else found.metadata[query, place].get(group_by)
    # By their types too: 1, 1.0 and True are equal otherwise.
    return ("item", found.ids[query, place]) if value is None else ("group", type(value), value)


def _slice(first: Matches, rest: Matches, offset: int) -> Matches:
    """Return as many places as there are in what is first, from an offset on, of that and what comes then."""
    k = first.ids.shape[1]
    orders = []
    for before, after in zip(first.counts.tolist(), rest.counts.tolist(), strict=True):
        orders.append([*range(before), *range(k, k + after)][offset : offset + k])
    return joined([first, rest]).chosen(orders, k)

"""Items ranked by what a buyer says: candidates from any engine, and the order of their scores.

Where every term is linear the engine's own order is the answer. Else candidates are searched by the terms' probes, and
those that were found are ordered by their scores; places beyond them follow by similarity, so that a page doesn't depend on
how many were asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.engines.base import Engine, fetch_present
from fashionsearch.index.exhausting import best_of_all, stacked_wide
from fashionsearch.index.filters import Condition
from fashionsearch.index.queries import Term, unit
from fashionsearch.index.rows import Id, Rows
from fashionsearch.results import Matches
from fashionsearch.results.matches import joined

_POOL = 300  # candidates of each probe


@dataclass(frozen=True, eq=False)
class Ranking:
    """n queries on an engine.

    Attributes:
        engine: holds the items.
        terms: what is said in each query.
        condition: that items must meet, or None.
        exact: compare with every item.
        diversity: what an item's likeness to those before it counts, from 0 to 1, against its own score.
        exclude: ids that are no answers.
        depth: candidates of each probe.
        breadth: how many are searched for at least: a walk through a graph misses fewer of the first the more it looks for.
    """

    engine: Engine
    terms: Sequence[Term]
    condition: Condition | None = None
    exact: bool = False
    diversity: float = 0.0
    exclude: frozenset[Id] = field(default_factory=frozenset)
    depth: int = _POOL
    breadth: int = 1

    @property
    def is_linear(self) -> bool:
        """Whether the engine's own order is the answer."""
        return not self.diversity and all(term.is_linear for term in self.terms)

    @property
    def probes(self) -> NDArray[np.float32]:
        """(n, dim): what all terms together are nearest to."""
        return reduce(add, (term.probes for term in self.terms))

    def find(self, count: int, exact: bool = False) -> Matches:
        """Return the `count` best items of each query; their similarities are the cosines to all probes together."""
        if self.is_linear:
            return self.engine.search(self.probes, count, self.condition, exact or self.exact)
        if self.exact and len(self.probes):
            return self._find_exactly(count)
        # Nothing of the pool depends on how many are asked for.
        depth = self.depth + len(self.exclude)
        base = self.engine.search(self.probes, max(depth, self.breadth), self.condition, self.exact)
        others = [self.engine.search(probes, depth, self.condition, False) for probes in self._more_probes()]
        everything, width = joined([base, *others]), base.ids.shape[1]
        pools = [self._pool(everything, query, min(depth, width), width) for query in range(len(base))]
        orders = [self._ordered(everything, query, pool, count) for query, pool in enumerate(pools)]
        if min(map(len, orders), default=count) < min(count, len(self.engine)):
            return self._with_rest(everything, orders, count)
        return everything.chosen(orders, min(count, max(map(len, orders), default=0)))

    def _find_exactly(self, count: int) -> Matches:
        """Return the best of all items; where they may be ordered one by one, some are held at a time."""
        if self.diversity:  # which looks at what was chosen before
            return stacked_wide([self._of_all(query, count) for query in range(len(self.probes))])
        return best_of_all(self.engine, self._ids(self.probes[:1]), self.terms, self.probes, count)

    def _ids(self, probe: NDArray[np.float32]) -> list[Id]:
        """Return the ids of all items that may be answers, the nearest to a probe, (1, dim), first if a filter is asked."""
        if self.condition is None:
            return [item for item in self.engine if item not in self.exclude]
        found = self.engine.search(probe, max(1, len(self.engine)), self.condition, True)
        return [item for item in found.ids[0].tolist() if item is not None and item not in self.exclude]

    def _of_all(self, query: int, count: int) -> Matches:
        """Return the (1, count) best of all items for one query."""
        depth = max(1, len(self.engine))
        everything = self.engine.search(self.probes[query : query + 1], depth, self.condition, True)
        pool = self._pool(everything, 0, depth, depth)
        order = self._ordered(everything, 0, pool, count, query)
        return everything.chosen([order], min(count, len(order)))

    def _with_rest(self, everything: Matches, orders: list[list[int]], count: int) -> Matches:
        """Return the candidates in their order and behind them all other items by exact similarity, up to a count."""
        most = count + len(self.exclude) + max(map(len, orders))
        rest = self.engine.search(self.probes, most, self.condition, True)
        width, everything = everything.ids.shape[1], joined([everything, rest])
        longer = []
        for query, order in enumerate(orders):
            ids = everything.ids[query].tolist()
            known = {None, *self.exclude, *(ids[place] for place in order)}
            more = [place for place in range(width, len(ids)) if ids[place] not in known]
            longer.append([*order, *more][:count])
        return everything.chosen(longer, min(count, max(map(len, longer))))

    def itemised(self, found: Matches) -> Matches:
        """Return matches with what each term adds to each item's score, and its cosine to all probes together."""
        if len(self.terms) == 1 and self.is_linear:
            return found.of_scores(parts={self.terms[0].name: found.similarities})
        similarities = np.full(found.ids.shape, np.nan, dtype=np.float32)
        parts = {term.name: similarities.copy() for term in self.terms}
        asked, there = unit(self.probes), []
        for query, count in enumerate(found.counts.tolist()):
            rows, places = self._rows(found.ids[query, :count].tolist())
            there.append(places)
            similarities[query, places] = unit(rows.vectors) @ asked[query]
            for term in self.terms:
                others = np.nan_to_num(parts[term.name][query, places])  # of a term of the same name
                parts[term.name][query, places] = others + term.scores(query, rows)
        scored = found.of_scores(similarities=similarities, parts=parts)
        if [len(places) for places in there] == found.counts.tolist():
            return scored
        # Some were removed meanwhile.
        return scored.chosen([sorted(places) for places in there], found.ids.shape[1])

    def _more_probes(self) -> list[NDArray[np.float32]]:
        """Return the probes of linear terms together, and of each other term by itself."""
        linear = [term.probes for term in self.terms if term.is_linear]
        alone = [term.probes for term in self.terms if not term.is_linear]
        probes = [
            *([reduce(add, linear)] if linear and alone else []),
            *(alone if linear or len(alone) > 1 else []),
        ]
        return [probe for probe in probes if np.linalg.norm(probe, axis=1).all()]

    def _rows(self, ids: list[Id]) -> tuple[Rows, list[int]]:
        """Return the rows of those ids that are still there, and their places among the ids."""
        rows = fetch_present(self.engine, ids)
        place = {item: number for number, item in enumerate(ids)}
        return rows, [place[item] for item in rows.ids]

    def _pool(self, everything: Matches, query: int, first: int, width: int) -> list[int]:
        """Return the places of the candidates of a query, each item once, the excluded ones left out."""
        seen: set[Id | None] = {None, *self.exclude}
        ids = everything.ids[query].tolist()
        places = []
        for place in [*range(first), *range(width, len(ids))]:
            if ids[place] not in seen:
                seen.add(ids[place])
                places.append(place)
        return places

    def _ordered(
        self, everything: Matches, row: int, places: list[int], count: int, query: int | None = None
    ) -> list[int]:
        """Return the places of the best of a query's candidates, by their scores; its row's number unless that is given."""
        ids = everything.ids[row].tolist()
        rows, there = self._rows([ids[place] for place in places])
        kept = np.array(places, dtype=np.intp)[there]
        asked = row if query is None else query
        scores = np.sum([term.scores(asked, rows) for term in self.terms], axis=0)
        if self.diversity and len(kept):
            order = diverse(unit(rows.vectors), scores, self.diversity, min(count, len(kept)))
        else:
            order = np.argsort(-scores, kind="stable")
        best: list[int] = kept[order].tolist()
        return best[:count]


def diverse(
    vectors: NDArray[np.float32], scores: NDArray[np.float32], diversity: float, count: int
) -> NDArray[np.intp]:
    """Return the order of maximal marginal relevance (Carbonell and Goldstein 1998): good ones that are unlike each other.

    Args:
        vectors: (m, dim) unit vectors.
        scores: (m,).
        diversity: from 0, the order of the scores, to 1, as unlike as possible.
        count: how many to choose.
    """
    chosen = [int(np.argmax(scores))]
    closest = vectors @ vectors[chosen[0]]
    free = np.ones(len(scores), dtype=bool)
    free[chosen] = False
    while len(chosen) < count:
        value = np.where(free, (1 - diversity) * scores - diversity * closest, -np.inf)
        best = int(np.argmax(value))
        chosen.append(best)
        free[best] = False
        np.maximum(closest, vectors @ vectors[best], out=closest)
    return np.array(chosen, dtype=np.intp)

"""Items whose own text holds the words that are searched for, ranked by BM25 and joined with another ranking.

The texts stay where they are: each engine is asked, by its filters, which values hold a word and how many items have them. So
this works on every engine, is never out of date, and a word is a value to compare with and never part of a query's language.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.engines.base import Engine, fetch_present
from fashionsearch.index.filters import AllOf, AnyOf, Condition, Contains, OneOf, words_of
from fashionsearch.index.paging import Find
from fashionsearch.index.rows import PRIVATE
from fashionsearch.results import Matches
from fashionsearch.results.matches import joined, stacked
from fashionsearch.values import Value

_DEPTH = 300  # items of each ranking that are joined
_RANK = 60  # of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009)
_MOST_WORDS = 32  # of a text that are looked for
_MOST_VALUES = 100_000
_SATURATION, _LENGTH = 1.2, 0.75  # k1 and b of BM25
_SAMPLE = 100


@dataclass(frozen=True)
class TextMatch:
    """What a text is compared with.

    Attributes:
        engine: holds the items.
        fields: of the metadata, whose texts are compared.
        condition: that items must meet, or None.
    """

    engine: Engine
    fields: Sequence[str]
    condition: Condition | None = None

    def find(self, text: str, probe: NDArray[np.float32]) -> Matches:
        """Return (1, m) items whose texts hold words of a text, the best first; of equals the nearest to a probe, (dim,)."""
        words = list(dict.fromkeys(words_of(text)))[:_MOST_WORDS]
        scores = {field: self._scores(field, words) for field in self.fields}
        best = [OneOf(field, tuple(_best(found))) for field, found in scores.items() if found]
        if not best:
            return self.engine.search(probe[None], 1, self.condition, False).chosen([[]], 0)
        allowed = AllOf((*_some(self.condition), AnyOf(tuple(best))))
        found = self.engine.search(probe[None], _DEPTH, allowed, True)
        count = int(found.counts[0])
        totals = [_total(found.metadata[0, place], scores) for place in range(count)]
        return found.chosen([sorted(range(count), key=lambda place: -totals[place])], count)

    def _scores(self, field: str, words: Iterable[str]) -> dict[Value, tuple[float, int]]:
        """Return value -> BM25 of it, and how many items have it; of those values that hold a word."""
        holding: dict[str, list[tuple[Value, int]]] = {
            word: self.engine.counts(
                field, AllOf((*_some(self.condition), Contains(field, (word,)))), _MOST_VALUES
            )
            for word in words
        }
        items = {value: count for found in holding.values() for value, count in found}
        lengths = {value: len(words_of(str(value))) for value in items}
        usual = sum(lengths.values()) / max(len(lengths), 1)
        scores: dict[Value, float] = dict.fromkeys(items, 0.0)
        for word, found in holding.items():
            having = sum(count for _, count in found)
            rarity = math.log(1 + max(len(self.engine) - having, 0.5) / (having + 0.5))
            for value, _ in found:
                often = words_of(str(value)).count(word)
                shortened = _SATURATION * (1 - _LENGTH + _LENGTH * lengths[value] / usual)
                scores[value] += rarity * often * (_SATURATION + 1) / (often + shortened)
        return {value: (score, items[value]) for value, score in scores.items()}


def text_fields(engine: Engine) -> list[str]:
    """Return the metadata fields that hold text, as some of the items show."""
    ids = [item for item, _ in zip(engine, range(_SAMPLE), strict=False)]
    rows = fetch_present(engine, ids)
    named = {name for row in rows.metadata for name, value in row.items() if isinstance(value, str)}
    return sorted(name for name in named if not name.startswith(PRIVATE))


def fused(find: Find, matched: Sequence[Matches]) -> Find:
    """Return what finds by another ranking and by matched texts, by the sum of reciprocal ranks.

    Args:
        find: by the other ranking.
        matched: for each query (1, m), best first.
    """

    def find_both(count: int, exact: bool) -> Matches:
        found = find(max(count, _DEPTH), exact)
        width = max((each.ids.shape[1] for each in matched), default=0)
        texts = stacked([each.chosen([range(int(each.counts[0]))], width) for each in matched])
        everything = joined([found, texts])
        orders = [
            _fused(
                everything.ids[query].tolist(),
                int(found.counts[query]),
                found.ids.shape[1],
                int(each.counts[0]),
            )
            for query, each in enumerate(matched)
        ]
        return everything.chosen(orders, min(count, max(map(len, orders), default=0)))

    return find_both


def _best(scores: Mapping[Value, tuple[float, int]]) -> list[Value]:
    """Return the best values, so many that their items are enough."""
    chosen, there = [], 0
    for value in sorted(scores, key=lambda value: -scores[value][0]):
        if there >= _DEPTH:
            break
        chosen.append(value)
        there += scores[value][1]
    return chosen


def _total(metadata: Mapping[str, Value], scores: Mapping[str, Mapping[Value, tuple[float, int]]]) -> float:
    """Return the score of an item over all fields."""
    return sum(found.get(metadata.get(field), (0.0, 0))[0] for field, found in scores.items())


def _fused(ids: Sequence[object], first: int, begin: int, second: int) -> list[int]:
    """Return places by the sum of reciprocal ranks; the places of the second ranking begin at one of them."""
    place: dict[object, int] = {}
    scores: dict[object, float] = {}
    for ranking in (range(min(first, _DEPTH)), range(begin, begin + second)):
        for rank, at in enumerate(ranking):
            place.setdefault(ids[at], at)
            scores[ids[at]] = scores.get(ids[at], 0.0) + 1 / (_RANK + rank + 1)
    best = [place[item] for item in sorted(scores, key=lambda item: -scores[item])]
    return best + [at for at in range(_DEPTH, first) if ids[at] not in scores]


def _some(condition: Condition | None) -> tuple[Condition, ...]:
    return () if condition is None else (condition,)

"""What an index answers: the items nearest to photos, vectors, stored items and words."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

from numpy.typing import ArrayLike

from fashionsearch import errors
from fashionsearch.images import Images
from fashionsearch.index import encoders, filters, paging, queries
from fashionsearch.index.candidates import Ranking
from fashionsearch.index.chances import EVIDENCE, Calibration, judged
from fashionsearch.index.feedback import Feedback
from fashionsearch.index.health import reach
from fashionsearch.index.judgements import Judgements
from fashionsearch.index.knowing import Knowing
from fashionsearch.index.ranking import source_first
from fashionsearch.index.rows import Id, as_ids, check_id, check_number, check_share, check_vectors
from fashionsearch.results import Matches

_MAX_K = 1_000_000
_TWINS = 8  # items beyond k among which that of the queried file itself may be
_GROWN = 1.5
_SHOWN = 10  # queries whose photos are kept for a notebook's view


@dataclass(frozen=True)
class _Asked:
    """What part of the answer is wanted, checked; the arguments of `search` of the same names."""

    k: int
    condition: filters.Condition | None
    exact: bool
    offset: int
    exclude: frozenset[Id]
    group_by: str | None
    diversity: float
    min_probability: float | None
    coverage: float | None


class Searching(Knowing):
    """Items that are searched by photos, vectors, stored items and words."""

    show_photos: bool
    recall: float | None
    _audited: int  # items when `ef_search` was last set for the goal of recall
    _auditing: bool

    def search(
        self,
        images: Images | None = None,
        k: int = 5,
        *,
        id: Id | None = None,
        text: str | Sequence[str] | None = None,
        text_weight: float = 0.5,
        like: Any = (),
        unlike: Any = (),
        region: Sequence[float] | None = None,
        where: filters.Where | None = None,
        exact: bool = False,
        offset: int = 0,
        exclude: Iterable[Id] = (),
        group_by: str | None = None,
        diversity: float = 0.0,
        min_probability: float | None = None,
        coverage: float | None = None,
    ) -> Matches:
        """Find the items nearest to one or several photos, to words, or to a stored item.

        Args:
            images: n photos, each a query, in any form; None where words or an id say what is wanted.
            k: how many items to find for each.
            id: search by this stored item, itself left out, beside or in place of a photo.
            text: what is wanted in words, one text for all queries or one for each.
            text_weight: what the words count beside photos, from 0 to 1; the photos count the rest.
            like: what is good: ids of stored items, photos in any form, or both. A text that is an id of the index is that
                item, any other is a path. They may be said beside photos, words and an id, or alone; the likes of several
                kinds may be of several kinds.
            unlike: what is not, likewise; there must be something that is wanted beside it. Stored items that are liked or
                not are no answers, since whoever judged them has seen them.
            region: (left, top, right, bottom) of the part of each photo to search by, as shares of its width and height.
            where: only among items whose metadata fit, for example
                `{"gender": "Women", "baseColour": ["Red", "Pink"], "year": {"gte": 2012}}`; "contains", "exists", "not",
                "and" and "or" are there too (the page of the reference has them all).
            exact: compare with every item, instead of walking the graph.
            offset: leave out so many of the nearest, which were on the pages before. While the index doesn't change, pages of
                one size hold each item once; those after the first compare with every item. While a graph is being made,
                `exact=True` for all pages is needed.
            exclude: ids that are no answers, such as what was shown; those that aren't there don't matter.
            group_by: a metadata field, such as the product's id: of the items that share a value only the nearest is shown.
                Items without a value are shown each.
            diversity: from 0 to 1, what unlikeness to the items before it counts for an item, against its own score
                (maximal marginal relevance, Carbonell and Goldstein 1998).
            min_probability: leave out items whose chance to be of the query's kind is smaller, and all of them where the
                index has no such thing; after `calibrate`.
            coverage: above 0 and below 1: return the shortest list that holds an item of the query's kind with this chance,
                which is the nearest item of each likely kind, at most k, and none where the index has no such thing; after
                `calibrate`.

        Returns:
            `Matches` of shape (n, k), best first, or (n, items) where there are fewer than k items. A filter may leave
            less: places beyond `counts` hold None and NaN. With several things said, a similarity is the cosine to all of
            them together, and `parts` says what each adds to it. With likes, items are in the order of the sum of their
            `parts`.

        Raises:
            ImageError: if a photo can't be read.
            UnknownIdError: if there is no item of an id; in `like` and `unlike`, if a text is neither an id nor a file.
            InputError: if k, the filter or another argument can't be used, nothing says what is wanted, or there is no
                encoder.
        """
        asked = self._asked(k, where, exact, offset, exclude, group_by, diversity, min_probability, coverage)
        pictures, terms = self._photos(images, region), []
        if pictures is not None:
            embedded = encoders.embed_queries(self._required_encoder("search by photo"), pictures)
            weight = 1.0 if text is None else 1 - check_share("text_weight", text_weight)
            terms.append(queries.Likeness("photo", check_vectors(embedded, self.dim), weight))
        if text is not None:
            weight = 1.0 if pictures is None else check_share("text_weight", text_weight)
            terms.append(queries.Likeness("text", self._embed_text(text), weight))
        if id is not None:
            vectors = self._engine.fetch([check_id(id)]).vectors
            terms.append(queries.Likeness("item", vectors))
            asked = replace(asked, exclude=asked.exclude | {check_id(id)})
        opinions = self._opinions(like, unlike)
        if not terms and not opinions[0]:
            told = (
                "unlike= says only what is not wanted" if opinions[1] else "nothing says what to search for"
            )
            raise errors.InputError(f"{told}; give photos, text=, id= or like=")
        is_plain = len(terms) == 1 and not any(opinions)
        found = self._answer(
            terms, _without(asked, opinions), pictures if is_plain else None, opinions=opinions
        )
        return self._with_photos(found, pictures)

    def search_vectors(
        self,
        vectors: ArrayLike,
        k: int = 5,
        *,
        like: Any = (),
        unlike: Any = (),
        where: filters.Where | None = None,
        exact: bool = False,
        offset: int = 0,
        exclude: Iterable[Id] = (),
        group_by: str | None = None,
        diversity: float = 0.0,
        min_probability: float | None = None,
        coverage: float | None = None,
    ) -> Matches:
        """Find the items nearest to one or several vectors, (n, dim) or (dim,); the rest is as for `search`.

        Raises:
            UnknownIdError: if something is liked or not that is neither an id nor a file.
            InputError: if a vector, k, the filter or another argument can't be used.
        """
        checked = check_vectors(vectors, self.dim)
        asked = self._asked(k, where, exact, offset, exclude, group_by, diversity, min_probability, coverage)
        terms, opinions = [queries.Likeness("vector", checked)], self._opinions(like, unlike)
        return self._answer(terms, _without(asked, opinions), opinions=opinions)

    def _asked(
        self,
        k: int,
        where: filters.Where | None,
        exact: bool,
        offset: int,
        exclude: Iterable[Id],
        group_by: str | None,
        diversity: float,
        min_probability: float | None,
        coverage: float | None,
    ) -> _Asked:
        if group_by is not None and not isinstance(group_by, str):
            raise errors.InputError(f"group_by={group_by!r} is not the name of a metadata field")
        return _Asked(
            check_number("k", k, low=1, high=_MAX_K),
            filters.parse(where),
            exact,
            check_number("offset", offset, low=0, high=_MAX_K),
            frozenset(check_id(item) for item in as_ids(exclude)),
            group_by,
            check_share("diversity", diversity),
            None if min_probability is None else check_share("min_probability", min_probability),
            self._check_coverage(coverage, offset),
        )

    def _check_coverage(self, coverage: object, offset: int) -> float | None:
        if coverage is None:
            return None
        if isinstance(coverage, bool) or not isinstance(coverage, int | float) or not 0 < coverage < 1:
            raise errors.InputError(
                f"coverage={coverage!r} is not a number above 0 and below 1, such as 0.95"
            )
        if offset:
            raise errors.InputError(
                f"coverage={coverage:g} is a promise of the whole list, which begins at its first place; leave offset out"
            )
        return float(coverage)

    def _photos(self, images: Images | None, region: Sequence[float] | None) -> list[Any] | None:
        """Return the single photos of a search, cut to a region of each."""
        from fashionsearch.images import cut, iterate

        if images is None:
            if region is not None:
                raise errors.InputError(
                    f"region={region!r} is of a photo, and there is none; give images too"
                )
            return None
        pictures: list[Any] = list(iterate(images))
        if region is None:
            return pictures
        return [cut(picture, region, position=position) for position, picture in enumerate(pictures)]

    def _with_photos(self, found: Matches, pictures: Sequence[Any] | None) -> Matches:
        """Return matches with what a notebook shows of the queried photos."""
        from fashionsearch.images import thumbnail_uri

        asked = pictures or [None] * len(found)
        shown = tuple(asked[i] if i < _SHOWN else None for i in range(len(asked)))
        return found.of_photos(shown, thumbnail_uri, shows_sources=self.show_photos)

    def _answer(
        self,
        terms: Sequence[queries.Likeness],
        asked: _Asked,
        pictures: Sequence[Any] | None = None,
        *,
        opinions: tuple[Judgements, Judgements],
    ) -> Matches:
        """Return what a page shows of the items that terms and judgements rank best."""
        from fashionsearch.images import source_of

        self._keep_goal()
        count = max((len(term.probes) for term in terms), default=1)
        linear = [queries.spread(self._by_clicks(term), count) for term in terms]
        is_judged = any(opinions)
        if len(linear) > 1 or asked.diversity or is_judged:
            named = [*(term.name for term in linear), *(["feedback"] if is_judged else [])]
            self._require_cosine(" and ".join(named))
            linear = queries.balanced(linear) if linear else []
        joint: list[queries.Term] = [*linear]
        if is_judged and count:
            wanted = reduce(add, (term.probes for term in linear)) if linear else None
            liked, unliked = (each.vectors for each in opinions)
            joint.append(Feedback.given(wanted, liked, unliked, self._whitening()))
        ranking = Ranking(self._engine, joint, asked.condition, asked.exact, asked.diversity, asked.exclude)
        sources = [source_of(picture) for picture in pictures or ()]
        is_plain = ranking.is_linear and bool(sources)
        calibration = self._calibration(asked)
        evidence = None if calibration is None else ranking.find(max(EVIDENCE, asked.k + _TWINS))

        def find(count: int, exact: bool) -> Matches:
            width = count + (_TWINS if is_plain else 0)
            known = evidence is not None and exact == asked.exact and width <= evidence.ids.shape[1]
            found = evidence if evidence is not None and known else ranking.find(width, exact)
            return source_first(found, sources, count) if is_plain else found.first(count)

        if asked.offset or asked.exclude or asked.group_by is not None:
            if asked.group_by is not None:
                self._engine.check_field(asked.group_by, "group_by")
            found = paging.page(
                find, asked.k, offset=asked.offset, exclude=asked.exclude, group_by=asked.group_by
            )
        else:
            found = find(asked.k, asked.exact)
        is_first = not (asked.offset or asked.exclude)
        if asked.condition is not None and is_first and count and not found.counts.any() and len(self):
            told = filters.nothing_fits(asked.condition, self._engine.counts)
            warnings.warn(told, errors.DataWarning, stacklevel=3)
        found = ranking.itemised(found)
        if calibration is None or evidence is None:
            return found
        seen = self._seen(calibration.field, ranking.probes) if calibration.tagged else None
        return judged(
            calibration,
            ranking.itemised(evidence),
            found,
            seen,
            least=asked.min_probability,
            coverage=asked.coverage,
        )

    def _calibration(self, asked: _Asked) -> Calibration | None:
        """Return what a likeness is worth here, if that was learned."""
        found = self._learned.get("calibration")
        if isinstance(found, Calibration):
            return found
        for name in ("min_probability", "coverage"):
            if getattr(asked, name) is not None:
                raise errors.InputError(
                    f"{name}={getattr(asked, name):g} asks for chances, and this index is not calibrated; call "
                    "index.calibrate(field) first"
                )
        return None

    def _require_cosine(self, said: str) -> None:
        if self._engine.settings.metric != "cosine":
            raise errors.InputError(
                f"{said} can be weighed only by the cosine, and this index has metric={self._engine.settings.metric!r}; "
                "make it with metric='cosine'"
            )

    def _keep_goal(self) -> None:
        """Set `ef_search` for the goal of recall, if there is one, and the index has grown much since that was last done."""
        if self.recall is None or self._auditing or len(self) <= _GROWN * self._audited:
            return
        if self._engine.has_graph:
            self._auditing = True
            try:
                reach(self._engine, self.recall)
                self._audited = len(self)
            finally:
                self._auditing = False


def _without(asked: _Asked, opinions: tuple[Judgements, Judgements]) -> _Asked:
    """Return what is asked for, stored items that were judged left out: whoever judged them has seen them."""
    return replace(asked, exclude=asked.exclude.union(*(each.ids for each in opinions)))

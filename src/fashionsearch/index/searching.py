"""What an index answers: the items nearest to photos, vectors, stored items and words."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashionsearch import errors
from fashionsearch.encoder import Embeds
from fashionsearch.images import Images
from fashionsearch.index import encoders, filters, learned, paging, queries
from fashionsearch.index.candidates import Ranking
from fashionsearch.index.clicks import ClickMetric
from fashionsearch.index.engines.base import fetch_present
from fashionsearch.index.feedback import Feedback
from fashionsearch.index.health import reach
from fashionsearch.index.items import Items
from fashionsearch.index.judgements import Judgements, judgements
from fashionsearch.index.ranking import source_first
from fashionsearch.index.rows import Id, as_ids, check_id, check_number, check_share, check_vectors
from fashionsearch.index.whitening import Whitening
from fashionsearch.results import Matches

_MAX_K = 1_000_000
_TWINS = 8  # items beyond k among which that of the queried file itself may be
_GROWN = 1.5
_SAMPLE = 5000
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


class Searching(Items):
    """Items that are searched by photos, vectors, stored items and words."""

    dim: int
    show_photos: bool
    recall: float | None
    _audited: int  # items when `ef_search` was last set for the goal of recall
    _auditing: bool
    _encoder: Embeds | None
    _learned: Mapping[str, learned.Part]

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
                one size hold each item once; those after the first compare with every item.
            exclude: ids that are no answers, such as what was shown; those that aren't there don't matter.
            group_by: a metadata field, such as the product's id: of the items that share a value only the nearest is shown.
                Items without a value are shown each.
            diversity: from 0 to 1, what unlikeness to the items before it counts for an item, against its own score
                (maximal marginal relevance, Carbonell and Goldstein 1998).

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
        asked = self._asked(k, where, exact, offset, exclude, group_by, diversity)
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
        judged = self._judgements(like, unlike)
        if not terms and not judged[0]:
            told = "unlike= says only what is not wanted" if judged[1] else "nothing says what to search for"
            raise errors.InputError(f"{told}; give photos, text=, id= or like=")
        is_plain = len(terms) == 1 and not any(judged)
        found = self._answer(
            terms, _without(asked, judged), pictures if is_plain else None, judged=judged
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
    ) -> Matches:
        """Find the items nearest to one or several vectors, (n, dim) or (dim,); the rest is as for `search`.

        Raises:
            UnknownIdError: if something is liked or not that is neither an id nor a file.
            InputError: if a vector, k, the filter or another argument can't be used.
        """
        checked = check_vectors(vectors, self.dim)
        asked = self._asked(k, where, exact, offset, exclude, group_by, diversity)
        terms, judged = [queries.Likeness("vector", checked)], self._judgements(like, unlike)
        return self._answer(terms, _without(asked, judged), judged=judged)

    def _asked(
        self,
        k: int,
        where: filters.Where | None,
        exact: bool,
        offset: int,
        exclude: Iterable[Id],
        group_by: str | None,
        diversity: float,
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
        )

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

    def _embed_text(self, text: str | Sequence[str]) -> NDArray[np.float32]:
        texts = [text] if isinstance(text, str) else list(text)
        encoder: Any = self._encoder
        if not callable(getattr(encoder, "embed_text", None)):
            raise errors.InputError(
                "this index knows no words: its encoder embeds photos alone; use an encoder that has embed_text"
            )
        return check_vectors(encoder.embed_text(texts), self.dim)

    def _with_photos(self, found: Matches, pictures: Sequence[Any] | None) -> Matches:
        """Return matches with what a notebook shows of the queried photos."""
        from fashionsearch.images import thumbnail_uri

        asked = pictures or [None] * len(found)
        shown = tuple(asked[i] if i < _SHOWN else None for i in range(len(asked)))
        return replace(found, queries=shown, _thumbnail=thumbnail_uri, _shows_sources=self.show_photos)

    def _judgements(self, like: Any, unlike: Any) -> tuple[Judgements, Judgements]:
        """Return what is liked and what is not.

        Raises:
            InputError: if an item is both.
        """
        liked, unliked = self._judged("like", like), self._judged("unlike", unlike)
        both = [item for item in liked.ids if item in unliked.ids]
        if both:
            raise errors.InputError(
                f"{both[0]!r} is both in like and in unlike; leave it out of one of them"
            )
        return liked, unliked

    def _judged(self, name: str, given: Any) -> Judgements:

        def embed(photos: list[Any]) -> NDArray[np.float32]:
            encoder = self._required_encoder(f"look at the photos of {name}")
            return check_vectors(encoders.embed_queries(encoder, photos), self.dim)

        return judgements(name, given, self._engine, embed)

    def _answer(
        self,
        terms: Sequence[queries.Likeness],
        asked: _Asked,
        pictures: Sequence[Any] | None = None,
        *,
        judged: tuple[Judgements, Judgements],
    ) -> Matches:
        """Return what a page shows of the items that terms and judgements rank best."""
        from fashionsearch.images import source_of

        self._keep_goal()
        count = max((len(term.probes) for term in terms), default=1)
        linear = [queries.spread(self._by_clicks(term), count) for term in terms]
        is_judged = any(judged)
        if len(linear) > 1 or asked.diversity or is_judged:
            named = [*(term.name for term in linear), *(["feedback"] if is_judged else [])]
            self._require_cosine(" and ".join(named))
            linear = queries.balanced(linear) if linear else []
        joint: list[queries.Term] = [*linear]
        if is_judged and count:
            wanted = reduce(add, (term.probes for term in linear)) if linear else None
            goods = [each.vectors for each in judged]
            joint.append(Feedback.given(wanted, *goods, self._whitening()))
        ranking = Ranking(self._engine, joint, asked.condition, asked.exact, asked.diversity, asked.exclude)
        sources = [source_of(picture) for picture in pictures or ()]
        is_plain = ranking.is_linear and bool(sources)

        def find(count: int, exact: bool) -> Matches:
            found = ranking.find(count + (_TWINS if is_plain else 0), exact)
            return source_first(found, sources, count) if is_plain else found

        if asked.offset or asked.exclude or asked.group_by is not None:
            if asked.group_by is not None:
                self._engine.check_field(asked.group_by, "group_by")
            found = paging.page(
                find, asked.k, offset=asked.offset, exclude=asked.exclude, group_by=asked.group_by
            )
        else:
            found = find(asked.k, False)
        is_first = not (asked.offset or asked.exclude)
        if asked.condition is not None and is_first and count and not found.counts.any() and len(self):
            told = filters.nothing_fits(asked.condition, self._engine.counts)
            warnings.warn(told, errors.DataWarning, stacklevel=3)
        return ranking.itemised(found)

    @property
    def _clicks(self) -> ClickMetric | None:
        """What was learned from clicks, if anything was."""
        found = self._learned.get("clicks")
        return found if isinstance(found, ClickMetric) else None

    def _by_clicks(self, term: queries.Likeness) -> queries.Likeness:
        """Return a term as clicks weigh it, if they are in use."""
        metric = self._clicks
        if metric is None or not metric.in_use:
            return term
        return replace(term, probes=metric(term.probes))

    def _require_cosine(self, said: str) -> None:
        if self._engine.settings.metric != "cosine":
            raise errors.InputError(
                f"{said} can be weighed only by the cosine, and this index has metric={self._engine.settings.metric!r}; "
                "make it with metric='cosine'"
            )

    def _sample(self, count: int = _SAMPLE) -> NDArray[np.float32]:
        """Return unit vectors of some items, the same each time while the items don't change."""
        ids = list(self._engine)
        if len(ids) > count:
            chosen = np.sort(np.random.default_rng(0).choice(len(ids), count, replace=False))
            ids = [ids[place] for place in chosen.tolist()]
        return queries.unit(fetch_present(self._engine, ids).vectors)

    def _whitening(self) -> Whitening:
        """Return how the embeddings lie, which is looked at again when the index has grown by half.

        It is saved with the index, but it is no change of it: a folder that is only read stays as it is.
        """
        known = self._learned.get("whitening")
        if not isinstance(known, Whitening) or len(self) > _GROWN * known.items:
            known = Whitening.fitted(self._sample(), items=len(self))
            self._learned = {**self._learned, known.name: known}
        return known

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

    def _required_encoder(self, purpose: str) -> Embeds:
        if self._encoder is None:
            raise errors.InputError(
                f"this index has no encoder to {purpose}; use the methods for vectors, or give VisualIndex or "
                "VisualIndex.load an encoder"
            )
        return self._encoder


def _without(asked: _Asked, judged: tuple[Judgements, Judgements]) -> _Asked:
    """Return what is asked for, stored items that were judged left out: whoever judged them has seen them."""
    return replace(asked, exclude=asked.exclude.union(*(each.ids for each in judged)))

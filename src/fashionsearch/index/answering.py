"""What an index answers to what is said: ranked, paged, and with its chances."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index import filters, paging, queries
from fashionsearch.index.candidates import Ranking
from fashionsearch.index.first_pages import FirstPages, key_of
from fashionsearch.index.judgements import Judgements
from fashionsearch.index.ranking import by_similarity, source_first
from fashionsearch.index.rows import LOWEST_EF, Id, as_ids, check_cosine, check_id, check_number, check_share
from fashionsearch.index.saying import Saying
from fashionsearch.results import Matches

if TYPE_CHECKING:
    from fashionsearch.index.chances import Calibration

_MAX_K = 1_000_000
_TWINS = 8  # items beyond k among which that of the queried file itself may be
_GROWN = 1.5
_SHOWN = 10  # queries whose photos are kept for a notebook's view


@dataclass(frozen=True)
class Asked:
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


class Answering(Saying):
    """Items, and how they answer."""

    recall: float | None
    _audited: int  # items when `ef_search` was last set for the goal of recall
    _auditing: bool
    _may_be_lower = False  # whether a lower `ef_search` can't be tried yet
    _first_pages: FirstPages

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
    ) -> Asked:
        if group_by is not None and not isinstance(group_by, str):
            raise errors.InputError(f"group_by={group_by!r} is not the name of a metadata field")
        return Asked(
            check_number("k", k, low=1, high=_MAX_K),
            filters.parse(where),
            exact,
            check_number("offset", offset, low=0, high=_MAX_K),
            frozenset(map(check_id, as_ids(exclude))),
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

    def _with_photos(self, found: Matches, pictures: Sequence[Any] | None) -> Matches:
        """Return matches with what a notebook shows of the queried photos."""
        asked = pictures or [None] * len(found)
        shown = tuple(asked[i] if i < _SHOWN else None for i in range(len(asked)))
        return found.of_photos(shown, _thumbnail, shows_sources=self.show_photos)

    def _answer(
        self,
        terms: Sequence[queries.Term],
        asked: Asked,
        pictures: Sequence[Any] | None = None,
        matching: Sequence[str] = (),
        opinions: Sequence[Judgements] = (),
    ) -> Matches:
        """Return what a page shows of the items that terms and judgements, what is liked and what is not, rank best."""
        self._keep_goal()
        counts = [len(term.probes) for term in terms]
        count = (
            0 if 0 in counts else max(counts, default=1)
        )  # what is said once is said of each photo, of none too
        joint = [queries.spread(self._by_clicks(term), count) for term in terms]
        is_judged = any(opinions)
        if len(joint) > 1 or asked.diversity or is_judged or not all(term.is_linear for term in joint):
            named = [*(term.name for term in joint), *(["feedback"] if is_judged else [])]
            check_cosine(" and ".join(named), self._engine.settings.metric)
            joint = queries.balanced(joint)
        if is_judged and count:
            from fashionsearch.index.feedback import Feedback  # here, as below: most searches need none of it

            asked = replace(asked, exclude=asked.exclude.union(*(each.ids for each in opinions)))
            liked, unliked = (each.vectors for each in opinions)
            joint.append(Feedback.given(_wanted(joint), liked, unliked, self._whitening()))
        ranking = Ranking(self._engine, joint, asked.condition, asked.exact, asked.diversity, asked.exclude)
        if [(term.name, term.is_linear) for term in joint] == [("text", False)] and not asked.diversity:
            from fashionsearch.index import wording

            ranking = replace(ranking, depth=wording.POOL, breadth=wording.BREADTH)
        sources = _sources(pictures) if pictures else []
        is_plain = ranking.is_linear and bool(sources)
        calibration = self._calibration(asked, joint)
        evidence, wanted = None, asked.k
        if calibration is not None:  # what is said of the nearest, however varied the answer is to be
            from fashionsearch.index.chances import EVIDENCE

            evidence = replace(ranking, diversity=0.0).find(max(EVIDENCE, asked.k + _TWINS))
            if asked.coverage is not None:  # a list that keeps a promise is chosen among more than are shown
                wanted = max(EVIDENCE, asked.k)

        def find(count: int, exact: bool) -> Matches:
            width = count + (_TWINS if is_plain else 0)
            known = exact == asked.exact and not asked.diversity
            if evidence is not None and known and width <= evidence.ids.shape[1]:
                found = evidence
            else:
                found = ranking.find(width, exact)
            return source_first(found, sources, count) if is_plain else found.first(count)

        finding = self._fused(find, matching, ranking) if matching and count else find
        if asked.group_by is not None:
            self._engine.check_field(asked.group_by, "group_by")
        found = self._page(finding, replace(asked, k=wanted), ranking, matching)
        is_first = not (asked.offset or asked.exclude)
        if (
            asked.condition is not None
            and is_first
            and count
            and not np.count_nonzero(found.counts)
            and len(self)
        ):
            told = filters.nothing_fits(asked.condition, self._engine.counts)
            warnings.warn(told, errors.DataWarning, stacklevel=5)
        found = ranking.itemised(found)
        if calibration is None or evidence is None:
            return found
        from fashionsearch.index.chances import judged

        seen = self._seen(calibration.field, ranking.probes) if calibration.tagged else None
        about = by_similarity(ranking.itemised(evidence))
        answer = judged(calibration, about, found, seen, least=asked.min_probability, coverage=asked.coverage)
        return answer.first(asked.k)

    def _page(self, find: paging.Find, asked: Asked, ranking: Ranking, texts: Sequence[str]) -> Matches:
        """Return the page that is asked for; one after the first leaves out what the first held when it was shown."""
        key, first = None, None
        if not asked.exact:  # which is the same each time
            rest = self._changes, asked.k, asked.group_by, asked.diversity, asked.exclude
            key = key_of(ranking.terms, texts, asked.condition, *rest)
        if asked.offset and key is not None:
            first = self._first_pages.known(key)
        if first is None:
            is_plain = not asked.exclude and asked.group_by is None
            first = (
                find(asked.k, asked.exact)
                if is_plain
                else paging.first_page(find, asked.k, asked.exclude, asked.group_by)
            )
            if key is not None:
                self._first_pages.note(key, first)
        if not asked.offset:
            return first
        return paging.later_page(find, first, asked.k, asked.offset, asked.exclude, asked.group_by)

    def _calibration(self, asked: Asked, terms: Sequence[queries.Term]) -> Calibration | None:
        """Return what a likeness is worth here, if that was learned; of photos to words it was not."""
        found = cast("Calibration | None", self._learned.get("calibration"))
        if found is None and asked.min_probability is None and asked.coverage is None:
            return None
        has_words = any(term.name == "text" for term in terms)
        if found is not None and not has_words and self._can_judge(found):
            return found
        for name in ("min_probability", "coverage"):
            if getattr(asked, name) is not None:
                raise errors.InputError(
                    f"{name}={getattr(asked, name):g} asks for chances, and "
                    + (
                        "those of words are not known; leave text= or it out"
                        if has_words
                        else "this index is not calibrated, or was with another tagger; call index.calibrate(field)"
                    )
                )
        return None

    def _can_judge(self, calibration: Calibration) -> bool:
        """Return whether the encoder's tagger sees what it saw when likeness was calibrated."""
        tagger = self._own_tagger if calibration.tagged else None
        return not calibration.tagged or (tagger is not None and calibration.field in tagger.attributes_)

    def _fused(self, find: paging.Find, texts: Sequence[str], ranking: Ranking) -> paging.Find:
        """Return what also finds items by their own texts, of which one is said for each query or one for all."""
        from fashionsearch.index import text_match

        words = self._words
        fields = [words.field] if words is not None and words.field else text_match.text_fields(self._engine)
        matching = text_match.TextMatch(self._engine, fields, ranking.condition)
        probes = ranking.probes
        told = [texts[query if len(texts) > 1 else 0] for query in range(len(probes))]
        return text_match.fused(find, [matching.find(*each) for each in zip(told, probes, strict=True)])

    def _keep_goal(self) -> None:
        """Set `ef_search` for the goal of recall, if there is one, and the index has grown much since that was last done."""
        if self.recall is None or self._auditing:
            return
        engine, has_grown = self._engine, len(self) > _GROWN * self._audited
        if not (has_grown or self._may_be_lower) or not engine.has_graph:
            return
        from fashionsearch.index.health import reach

        self._auditing = True
        try:
            if has_grown or engine.allow(LOWEST_EF):
                is_done = reach(engine, self.recall)
                if engine is self._engine:  # not migrated meanwhile
                    self._audited, self._may_be_lower = len(engine), not is_done
        finally:
            self._auditing = False


def texts_to_match(text: str | Sequence[str] | None, asked: bool) -> list[str]:
    """Return the texts that items' own texts are compared with, if that is asked for."""
    if not isinstance(asked, bool):
        raise errors.InputError(f"text_match={asked!r} is neither True nor False")
    if not asked:
        return []
    if text is None:
        raise errors.InputError(
            "text_match=True compares items' texts with a text, and there is none; give text= too"
        )
    return [text] if isinstance(text, str) else list(text)


def _wanted(terms: Sequence[queries.Term]) -> NDArray[np.float32] | None:
    """Return (n, dim) what terms ask for together: their likenesses, or where there is none whatever else they say."""
    likenesses = [term.probes for term in terms if isinstance(term, queries.Weighed)]
    probes = likenesses or [term.probes for term in terms]
    return reduce(add, probes) if probes else None


def _thumbnail(photo: Any) -> str:
    from fashionsearch.images import thumbnail_uri  # here, as below

    return thumbnail_uri(photo)


def _sources(pictures: Sequence[Any]) -> list[str | None]:
    """Return the files of photos, None of those that are in none."""
    from fashionsearch.images import source_of  # here, since a search by vectors needs none of it

    return [source_of(picture) for picture in pictures]

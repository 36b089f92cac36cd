"""An index is searched by photos, vectors, stored items, words and attributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashionsearch import errors
from fashionsearch.encoder import check_on_error, tell_left_out
from fashionsearch.index import filters, queries
from fashionsearch.index.answering import Answering, texts_to_match
from fashionsearch.index.judgements import single
from fashionsearch.index.rows import Id, check_id, check_vectors
from fashionsearch.index.saying import check_text_count, check_vector_count
from fashionsearch.results import Matches

if TYPE_CHECKING:
    from fashionsearch.images import Images
    from fashionsearch.tagging.tagger import Tagger


class Searching(Answering):
    """Items that are searched."""

    def search(
        self,
        images: Images | None = None,
        k: int = 5,
        *,
        vectors: ArrayLike | None = None,
        id: Id | None = None,
        text: str | Sequence[str] | None = None,
        text_weight: float = 0.5,
        text_match: bool = False,
        like: Any = (),
        unlike: Any = (),
        region: Sequence[float] | None = None,
        background: str | None = None,
        towards: Mapping[str, Any] | None = None,
        tagger: Tagger | None = None,
        where: filters.Where | None = None,
        exact: bool = False,
        offset: int = 0,
        exclude: Iterable[Id] = (),
        group_by: str | None = None,
        diversity: float = 0.0,
        min_probability: float | None = None,
        coverage: float | None = None,
        on_error: str = "raise",
    ) -> Matches:
        """Find the items nearest to one or several photos, to words, or to a stored item.

        Args:
            images: n photos, each a query, in any form; None where words or an id say what is wanted.
            k: how many items to find for each.
            vectors: (n, dim) embeddings of the photos, where they are known, as `tagger.tag_and_embed` returns them: the
                photos aren't looked at again. Without photos, what to search by in their place.
            id: search by this stored item, itself left out, beside or in place of a photo.
            text: what is wanted in words, one text for all queries or one for each.
            text_weight: what the words count beside photos and an item, from 0 to 1; these count the rest.
            text_match: let items whose own text holds the words come first too: their metadata field that `learn_text` was
                given, or every field of text, is ranked by BM25, and joined with the other ranking by reciprocal ranks. The
                words are looked for as they are written.
            like: what is good: ids of stored items, photos in any form, or both. A text that is an id of the index is that
                item, any other is a path. They may be said beside photos, words and an id, or alone; the likes of several
                kinds may be of several kinds.
            unlike: what is not, likewise; there must be something that is wanted beside it. Stored items that are liked or
                not are no answers, since whoever judged them has seen them.
            region: (left, top, right, bottom) of the part of each photo to search by, as shares of its width and height.
            background: "fuse" searches by each photo and by what it shows, alone on white, for photos taken in cluttered
                places; "keep" by the photo as it is. None is what the index was made with.
            towards: attributes that are wanted other than the photo or the item has them, such as {"baseColour": "Red"}, by
                what a tagger says of the items; their kind stays as it is, unless that is asked for, and so do other
                attributes where it can be had. Alone, it finds what has the attributes.
            tagger: whose attributes `towards` names; None is the index's encoder, if that is a `Tagger` or "fashion". One
                that embeds otherwise looks at the photos of the candidates, which takes a while.
            where: only among items whose metadata fit, for example
                `{"gender": "Women", "baseColour": ["Red", "Pink"], "year": {"gte": 2012}}`; "contains", "exists", "not",
                "and" and "or" are there too (the page of the reference has them all).
            exact: compare with every item, instead of walking the graph.
            offset: leave out so many of the nearest, which were on the pages before. While the index doesn't change, pages of
                one size hold each item once: those after the first compare with every item, and leave out what the first
                held; some thousands of first pages are remembered.
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
            on_error: "raise" at a photo that can't be read, or "skip" such photos, and their texts and vectors, with a
                `DataWarning` that names them; the answers are to the others.

        Returns:
            `Matches` of shape (n, k), best first, or (n, items) where there are fewer than k items. A filter may leave
            less: places beyond `counts` hold None and NaN. With several things said, a similarity is the cosine to all of
            them together, and `parts` says what each adds to its score.

        Raises:
            ImageError: if a photo can't be read.
            UnknownIdError: if there is no item of an id; in `like` and `unlike`, if a text is neither an id nor a file.
            InputError: if k, the filter or another argument can't be used, nothing says what is wanted, there is no encoder,
                or the tagger lacks an attribute or value.
            MissingPackageError: if a background is to be told from what lies before it, and the network for that is nowhere.
        """
        asked = self._asked(k, where, exact, offset, exclude, group_by, diversity, min_probability, coverage)
        check_on_error(on_error)
        if on_error == "skip" and images is not None:
            images, text, vectors = _readable(images, text, vectors)
        pictures = self._photos(images, region)
        matching = texts_to_match(text, text_match)
        judged = single("like", like), single("unlike", unlike)

        def answer() -> Matches:
            terms = self._terms(pictures, background, text, text_weight, id, towards, tagger, vectors)
            opinions = self._opinions(*judged, background)
            if not terms and not opinions[0]:
                told = (
                    "unlike= says only what is not wanted"
                    if opinions[1]
                    else "nothing says what to search for"
                )
                raise errors.InputError(f"{told}; give photos, text=, id=, like= or towards=")
            wanted = asked if id is None else replace(asked, exclude=asked.exclude | {check_id(id)})
            is_plain = len(terms) == 1 and not any(opinions)
            return self._answer(terms, wanted, pictures if is_plain else None, matching, opinions)

        return self._with_photos(self._steadily(answer), pictures)

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
        terms = [queries.Likeness("vector", check_vectors(vectors, self.dim))]
        asked = self._asked(k, where, exact, offset, exclude, group_by, diversity, min_probability, coverage)
        judged = single("like", like), single("unlike", unlike)

        def answer() -> Matches:
            if terms[0].probes.shape[1] != self.dim:
                raise errors.EncoderMismatchError(
                    f"the index was given another encoder at this moment: its vectors have length {self.dim}, and these "
                    f"{terms[0].probes.shape[1]}; embed the query again"
                )
            return self._answer(terms, asked, opinions=self._opinions(*judged))

        return self._steadily(answer)


def _readable(
    images: Images, text: str | Sequence[str] | None, vectors: ArrayLike | None
) -> tuple[list[Any], str | Sequence[str] | None, ArrayLike | None]:
    """Return photos that can be read, and the texts and vectors that go with them.

    Raises:
        InputError: if there are several texts, or vectors, and not one for each photo.
    """
    from fashionsearch.images import check_images, iterate

    pictures: list[Any] = list(iterate(images))
    if vectors is not None:
        vectors = _one_a_row(vectors)
        check_vector_count(len(vectors), len(pictures))
    texts = None if text is None or isinstance(text, str) or not np.shape(text) else list(text)
    if texts is not None:
        check_text_count(len(texts), len(pictures))
    positions, failures = check_images(pictures)
    tell_left_out(failures, len(pictures))
    kept = positions.tolist()
    if texts is not None and len(texts) > 1:  # a single one is said of all photos
        text = [texts[place] for place in kept] or texts[:1]
    return [pictures[place] for place in kept], text, None if vectors is None else vectors[kept]


def _one_a_row(vectors: ArrayLike) -> NDArray[Any]:
    try:
        rows = np.asarray(vectors)
    except ValueError as error:
        raise errors.InputError(f"vectors can't be read as (n, dim) numbers: {error}") from error
    return rows if rows.ndim > 1 or rows.dtype == object else rows.reshape(1, -1)

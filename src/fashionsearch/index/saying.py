"""What is said to an index, made into terms: photos, words, stored items, attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashionsearch import errors
from fashionsearch.encoder import Embeds
from fashionsearch.index import encoders, queries
from fashionsearch.index.knowing import Knowing
from fashionsearch.index.rows import Id, check_id, check_share, check_vectors
from fashionsearch.values import Value

if TYPE_CHECKING:
    from fashionsearch.images import Images
    from fashionsearch.index.attributes import Attributes
    from fashionsearch.tagging.tagger import Tagger
    from fashionsearch.words import Words


class Saying(Knowing):
    """Items, and what it takes to understand what is said of them."""

    show_photos: bool
    _tagger_of: tuple[Embeds | None, Tagger | None] = (None, None)

    def _terms(
        self,
        pictures: Sequence[Any] | None,
        background: str | None,
        text: str | Sequence[str] | None,
        text_weight: float,
        id: Id | None,
        towards: Mapping[str, Any] | None,
        tagger: Tagger | None,
        vectors: ArrayLike | None = None,
    ) -> list[queries.Term]:
        """Return what is said; the arguments are those of `search`."""
        terms: list[queries.Term] = []
        share = check_share("text_weight", text_weight)
        encoders.check_background(background or self.background, self._engine.settings.metric)
        alone = pictures is None and vectors is None and id is None
        rest = 1.0 if text is None else 1 - share
        if vectors is not None:
            known = check_vectors(vectors, self.dim)
            if pictures is not None:
                check_vector_count(len(known), len(pictures))
            terms.append(queries.Likeness("vector" if pictures is None else "photo", known, rest))
        elif pictures is not None:
            encoder = self._seeing(self._required_encoder("search by photo"), background)
            embedded = encoders.embed_queries(encoder, pictures)
            terms.append(queries.Likeness("photo", check_vectors(embedded, self.dim), rest))
        if text is not None:
            from fashionsearch.index import wording  # here, as below: most searches need none of it

            terms.append(wording.term(self._encoder, self._words, text, 1.0 if alone else share, self.dim))
            if pictures is not None:
                check_text_count(len(terms[-1].probes), len(pictures))
        if id is not None:
            terms.append(queries.Likeness("item", self._engine.fetch([check_id(id)]).vectors, rest))
        if towards is not None:
            terms.append(self._towards(towards, tagger, pictures, terms, id))
        elif tagger is not None:
            raise errors.InputError("tagger= says whose attributes towards= names; give towards= too")
        return terms

    def _photos(self, images: Images | None, region: Sequence[float] | None) -> list[Any] | None:
        """Return the single photos of a search, cut to a region of each."""
        if images is None:
            if region is not None:
                raise errors.InputError(
                    f"region={region!r} is of a photo, and there is none; give images too"
                )
            return None
        from fashionsearch.images import cut, iterate

        pictures: list[Any] = list(iterate(images))
        if region is None:
            return pictures
        return [cut(picture, region, position=position) for position, picture in enumerate(pictures)]

    @property
    def _words(self) -> Words | None:
        """The words that were learned here, if any were."""
        return cast("Words | None", self._learned.get("words"))

    def _towards(
        self,
        asked: Mapping[str, Any],
        tagger: Tagger | None,
        pictures: Sequence[Any] | None,
        terms: Sequence[queries.Term],
        id: Id | None,
    ) -> queries.Term:
        from fashionsearch.index.towards import towards as towards_term

        attributes = self._attributes(tagger)
        own = None
        if pictures:
            own = attributes.of_photos(pictures, terms[0].probes)
        elif id is not None:
            own, known = attributes.of_items(self._engine.fetch([check_id(id)]))
            own = own if known.all() else None
        elif terms and terms[0].name == "vector" and attributes.on_vectors:
            own = queries.unit(terms[0].probes)
        return towards_term(asked, attributes, own, self.dim, alone=not terms)

    def _attributes(self, tagger: object) -> Attributes:
        """Return by whom items are tagged: a given tagger, or the one in the encoder.

        Raises:
            InputError: if there is none, or it would have to open photos that a folder names.
        """
        from fashionsearch.index.attributes import attributes_of

        found = attributes_of(self._own_tagger if tagger is None else None, tagger, self._encoder, self.dim)
        if not found.on_vectors and not self.show_photos:
            raise errors.InputError(
                "this tagger embeds otherwise than the index's encoder, so it would open the photos that the folder names; "
                "set index.show_photos = True if you trust the folder, or give a tagger that embeds as the index does"
            )
        return found

    @property
    def tagger(self) -> Tagger | None:
        """The tagger that the encoder is, or whose network it is; None where it is neither.

        Its embeddings are the index's own: `tags, vectors = index.tagger.tag_and_embed(photos)` and
        `index.search(photos, vectors=vectors)` look at each photo once.
        """
        return self._own_tagger

    @property
    def _own_tagger(self) -> Tagger | None:
        """The tagger that the encoder is, or whose network it is."""
        if self._tagger_of[0] is not self._encoder:
            from fashionsearch.index.attributes import tagger_of

            self._tagger_of = (self._encoder, tagger_of(self._encoder))
        return self._tagger_of[1]

    def _seen(self, field: str, vectors: NDArray[np.float32]) -> list[dict[Value, float]] | None:
        """Return of each vector the chances that the encoder's tagger gives each kind; None if it tags no such field."""
        tagger = self._own_tagger
        if tagger is None or field not in tagger.attributes_:
            return None
        classes = tagger.classes_[field].tolist()
        chances = tagger.heads_[field].probabilities(queries.unit(vectors)).tolist()
        return [dict(zip(classes, row, strict=True)) for row in chances]


def check_vector_count(vectors: int, photos: int) -> None:
    """Raise InputError unless there is a vector for each photo."""
    if vectors != photos:
        raise errors.InputError(
            f"there are {photos:,} photos and {vectors:,} vectors; give the embedding of each photo"
        )


def check_text_count(texts: int, photos: int) -> None:
    """Raise InputError unless there is a text for each photo, or one for all."""
    if texts not in (1, photos):
        raise errors.InputError(
            f"there are {texts:,} texts and {photos:,} photos; give one text for all photos, one for each, or texts alone"
        )

"""What an index knows beside its items, as searches use it: its encoder, and what was learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.encoder import Embeds
from fashionsearch.index import encoders, learned, queries
from fashionsearch.index.attributes import tagger_of
from fashionsearch.index.clicks import ClickMetric
from fashionsearch.index.engines.base import fetch_present
from fashionsearch.index.items import Items
from fashionsearch.index.judgements import Judgements, judgements
from fashionsearch.index.rows import check_vectors
from fashionsearch.index.whitening import Whitening
from fashionsearch.values import Value

if TYPE_CHECKING:
    from fashionsearch.tagging.tagger import Tagger

_SAMPLE = 5000
_GROWN = 1.5


class Knowing(Items):
    """Items, an encoder of what is asked for, and what was learned of them."""

    dim: int
    _encoder: Embeds | None
    _learned: Mapping[str, learned.Part]
    _tagger_of: tuple[Embeds | None, Tagger | None] = (None, None)

    def _embed_text(self, text: str | Sequence[str]) -> NDArray[np.float32]:
        texts = [text] if isinstance(text, str) else list(text)
        encoder: Any = self._encoder
        if not callable(getattr(encoder, "embed_text", None)):
            raise errors.InputError(
                "this index knows no words: its encoder embeds photos alone; use an encoder that has embed_text"
            )
        return check_vectors(encoder.embed_text(texts), self.dim)

    def _required_encoder(self, purpose: str) -> Embeds:
        if self._encoder is None:
            raise errors.InputError(
                f"this index has no encoder to {purpose}; use the methods for vectors, or give VisualIndex or "
                "VisualIndex.load an encoder"
            )
        return self._encoder

    def _opinions(self, like: Any, unlike: Any) -> tuple[Judgements, Judgements]:
        """Return what is liked and what is not.

        Raises:
            InputError: if an item is both.
        """
        liked, unliked = self._opinion("like", like), self._opinion("unlike", unlike)
        both = [item for item in liked.ids if item in unliked.ids]
        if both:
            raise errors.InputError(f"{both[0]!r} is both in like and in unlike; leave it out of one of them")
        return liked, unliked

    def _opinion(self, name: str, given: Any) -> Judgements:
        def embed(photos: list[Any]) -> NDArray[np.float32]:
            encoder = self._required_encoder(f"look at the photos of {name}")
            return check_vectors(encoders.embed_queries(encoder, photos), self.dim)

        return judgements(name, given, self._engine, embed)

    def _seen(self, field: str, vectors: NDArray[np.float32]) -> list[dict[Value, float]] | None:
        """Return of each vector the chances that the encoder's tagger gives each kind; None if it tags no such field."""
        tagger = self._own_tagger
        if tagger is None or field not in tagger.attributes_:
            return None
        classes = tagger.classes_[field].tolist()
        chances = tagger.heads_[field].probabilities(queries.unit(vectors)).tolist()
        return [dict(zip(classes, row, strict=True)) for row in chances]

    @property
    def _own_tagger(self) -> Tagger | None:
        """The tagger that the encoder is, or whose network it is."""
        if self._tagger_of[0] is not self._encoder:
            self._tagger_of = (self._encoder, tagger_of(self._encoder))
        return self._tagger_of[1]

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

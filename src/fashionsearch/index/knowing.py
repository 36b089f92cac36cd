"""What an index knows beside its items, as searches use it: its encoder, and what was learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.encoder import Embeds
from fashionsearch.index import encoders, learned, queries
from fashionsearch.index.engines.base import fetch_present
from fashionsearch.index.items import Items
from fashionsearch.index.judgements import Judgements, judgements
from fashionsearch.index.rows import check_vectors

if TYPE_CHECKING:
    from fashionsearch.index.clicks import ClickMetric
    from fashionsearch.index.whitening import Whitening

_SAMPLE = 5000
_GROWN = 1.5


class Knowing(Items):
    """Items, an encoder of what is asked for, and what was learned of them."""

    dim: int
    background: str
    _encoder: Embeds | None
    _learned: Mapping[str, learned.Part]

    @property
    def learned(self) -> tuple[str, ...]:
        """The names of what was learned beside the items: "words", "calibration", "clicks"."""
        return tuple(name for name in self._learned if name != "whitening")

    def _required_encoder(self, purpose: str) -> Embeds:
        if self._encoder is None:
            raise errors.InputError(
                f"this index has no encoder to {purpose}; use the methods for vectors, or give VisualIndex or "
                "VisualIndex.load an encoder"
            )
        return self._encoder

    def _opinions(
        self, like: Sequence[Any], unlike: Sequence[Any], background: str | None = None
    ) -> tuple[Judgements, Judgements]:
        """Return what is liked and what is not.

        Raises:
            InputError: if an item is both.
        """
        liked, unliked = (
            self._opinion(name, given, background) for name, given in (("like", like), ("unlike", unlike))
        )
        both = [item for item in liked.ids if item in unliked.ids]
        if both:
            raise errors.InputError(f"{both[0]!r} is both in like and in unlike; leave it out of one of them")
        return liked, unliked

    def _opinion(self, name: str, given: Sequence[Any], background: str | None) -> Judgements:
        def embed(photos: list[Any]) -> NDArray[np.float32]:
            encoder = self._seeing(self._required_encoder(f"look at the photos of {name}"), background)
            return check_vectors(encoders.embed_queries(encoder, photos), self.dim)

        return judgements(name, given, self._engine, embed)

    def _seeing(self, encoder: Embeds, background: str | None = None) -> Embeds:
        """Return an encoder that does about backgrounds what is asked for; None is what the index was made with."""
        chosen = self.background if background is None else background
        return encoders.seeing(encoder, encoders.check_background(chosen, self._engine.settings.metric))

    @property
    def _clicks(self) -> ClickMetric | None:
        """What was learned from clicks, if anything was."""
        return cast("ClickMetric | None", self._learned.get("clicks"))

    def _by_clicks(self, term: queries.Term) -> queries.Term:
        """Return a likeness as clicks weigh it, if they are in use; other terms rank by something else."""
        metric = self._clicks
        if metric is None or not metric.in_use or not isinstance(term, queries.Likeness):
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
        known = cast("Whitening | None", self._learned.get("whitening"))
        if known is not None and len(known.mean) == self.dim and len(self) <= _GROWN * known.items:
            return known
        from fashionsearch.index.whitening import Whitening

        before = self._exchanged
        fitted = Whitening.fitted(self._sample(), items=len(self))
        with self._held():
            if before == self._exchanged:
                self._learned = {**self._learned, fitted.name: fitted}
        return fitted

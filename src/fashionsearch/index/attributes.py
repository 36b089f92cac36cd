"""What a tagger says of an index's items: by their stored vectors where it embeds alike, else by their photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.encoder import Embeds
from fashionsearch.index import encoders
from fashionsearch.index.queries import unit
from fashionsearch.index.rows import Id, Rows

if TYPE_CHECKING:
    from fashionsearch.tagging.tagger import Tagger


@dataclass(frozen=True, eq=False)
class Attributes:
    """A tagger, and how it looks at an index's items.

    Attributes:
        tagger: whose heads are asked.
        on_vectors: whether the items' vectors are its own embeddings; else it looks at their photos.
    """

    tagger: Tagger
    on_vectors: bool
    _seen: dict[Id, NDArray[np.float32] | None] = field(default_factory=dict)

    def of_photos(
        self, photos: Sequence[Any], vectors: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return the tagger's embeddings of photos, whose vectors in the index's space may be known."""
        if self.on_vectors and vectors is not None:
            return unit(vectors)
        return encoders.embed_queries(self.tagger, photos)

    def of_items(self, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the tagger's embeddings of items, (m, dim), and which are known: those of others are 0."""
        if self.on_vectors:
            return unit(rows.vectors), np.ones(len(rows), dtype=bool)
        self._look_at(rows)
        found = np.zeros((len(rows), self.tagger.dim), dtype=np.float32)
        known = np.zeros(len(rows), dtype=bool)
        for place, item in enumerate(rows.ids):
            seen = self._seen[item]
            if seen is not None:
                found[place], known[place] = seen, True
        return found, known

    def _look_at(self, rows: Rows) -> None:
        """Embed the photos of the items that were not looked at yet."""
        unseen = [place for place, item in enumerate(rows.ids) if item not in self._seen]
        there = [place for place in unseen if rows.sources[place] is not None]
        self._seen.update((rows.ids[place], None) for place in unseen)
        sources: list[Any] = [rows.sources[place] for place in there]
        vectors, positions, _, _ = encoders.embed_all(self.tagger, sources, "skip", None)
        self._seen.update(
            (rows.ids[there[position]], vector) for position, vector in zip(positions, vectors, strict=True)
        )


def tagger_of(encoder: Embeds | None) -> Tagger | None:
    """Return the tagger that an encoder is, or whose network it is; None if it is neither."""
    from fashionsearch.pretrained import is_shipped
    from fashionsearch.tagging.tagger import Tagger

    if isinstance(encoder, encoders.Unread):
        encoder = encoder.read() if encoder.kind == "tagger" else encoder
    if isinstance(encoder, Tagger):
        return encoder
    if encoder is None or not is_shipped(encoders.name(encoder)):
        return None
    shipped = Tagger.from_pretrained(encoders.name(encoder), progress=False)
    return shipped if embeds_alike(shipped, encoder, int(encoder.dim)) else None


def embeds_alike(tagger: Tagger, encoder: Embeds | None, dim: int) -> bool:
    """Return whether an index's vectors, which an encoder made or a user gave, are embeddings of a tagger."""
    from fashionsearch.tagging.zero_shot import UnitEncoder

    if tagger.dim != dim:
        return False
    if encoder is None:
        return True
    if isinstance(encoder, type(tagger)) and encoder is tagger:
        return True
    embedder: Any = tagger
    if isinstance(tagger.backbone_, UnitEncoder):  # of length 1, which are the index's too
        embedder = tagger.backbone
    try:
        encoders.check_same(embedder, encoders.identity(encoder), restored=lambda: encoder)
    except errors.EncoderMismatchError:
        return False
    return True


def check_tagger(tagger: object) -> Tagger:
    """Return a tagger that has learned.

    Raises:
        InputError: if it is none.
        NotFittedError: if it has not learned.
    """
    from fashionsearch.tagging.tagger import Tagger

    if not isinstance(tagger, Tagger):
        raise errors.InputError(
            f"tagger={tagger!r:.80} is not a Tagger; give one, such as fs.Tagger.from_pretrained('fashion')"
        )
    encoders.check(tagger)
    return tagger


def attributes_of(own: Tagger | None, given: object, encoder: Embeds | None, dim: int) -> Attributes:
    """Return by whose heads the items are tagged.

    Args:
        own: the tagger in the index's encoder, if there is one.
        given: the tagger that a user gave, or None.
        encoder: of the index.
        dim: of its vectors.

    Raises:
        InputError: if there is none, or it is none.
        NotFittedError: if it has not learned.
    """
    if given is not None:
        tagger = check_tagger(given)
        return Attributes(tagger, embeds_alike(tagger, encoder, dim))
    if own is None:
        what = (
            "it has none" if encoder is None else f"this index's encoder, {encoders.name(encoder)!r}, is none"
        )
        raise errors.InputError(
            f"attributes are a tagger's to tell, and {what}; give tagger=, such as fs.Tagger.from_pretrained('fashion')"
        )
    encoders.check(own)
    return Attributes(own, on_vectors=True)

"""What an index knows of words: learned from its titles, its encoder's own, or those that ship with its encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.encoder import Embeds, tell_left_out
from fashionsearch.index import encoders, queries
from fashionsearch.index.engines.base import Engine, fetch_present
from fashionsearch.index.rows import Rows, check_vectors
from fashionsearch.values import is_missing
from fashionsearch.words import Words, check_texts, shipped_words

if TYPE_CHECKING:
    from fashionsearch.images import Images

# Candidates of a text alone: of 12,000 photos, more made recall@10 better by half a point at most. But a text's probe lies
# far from all photos, where a walk through a graph misses many unless it looks for more.
POOL, BREADTH = 100, 300
_MOST_LEARNED = 100_000  # items: of more, some are drawn


@dataclass(frozen=True, eq=False)
class Said:
    """Likeness of photos to a text, by what learned words see in the photos.

    Attributes:
        probes: (n, dim) float32, about which the photos of the texts lie.
        said: (n, w) float32, what the texts say.
        words: that see the photos.
        weight: what it counts beside other terms.
    """

    probes: NDArray[np.float32]
    said: NDArray[np.float32]
    words: Words
    weight: float = 1.0

    @property
    def name(self) -> str:
        """Its key in `Match.parts`."""
        return "text"

    @property
    def is_linear(self) -> bool:
        """Whether the engine's own order is that of the scores: no, candidates are ranked by what is seen in them."""
        return False

    def scores(self, query: int, rows: Rows) -> NDArray[np.float32]:
        """Return (m,) scores of m items for one of the queries."""
        found: NDArray[np.float32] = self.words.see(queries.unit(rows.vectors)) @ self.said[query]
        return found

    def repeated(self, n: int) -> Said:
        """Return a term of one query as one of n."""
        return replace(self, probes=np.repeat(self.probes, n, axis=0), said=np.repeat(self.said, n, axis=0))

    def times(self, factors: NDArray[np.float32]) -> Said:
        """Return the term with the probes and scores of each query times its factor, (n, 1)."""
        return replace(self, probes=self.probes * factors, said=self.said * factors)


def term(
    encoder: Embeds | None, learned: Words | None, text: str | Sequence[str], weight: float, dim: int
) -> queries.Weighed:
    """Return what texts say to an index.

    Args:
        encoder: of the index, if there is one.
        learned: words that the index has learned, if it has.
        text: one text or several.
        weight: of the term.
        dim: of the index's vectors.

    Raises:
        InputError: if a text is empty, too long or none, or the index knows no words.
    """
    if isinstance(text, np.ndarray) and text.ndim == 0:
        text = str(text)
    is_column = hasattr(text, "to_numpy")  # of a data frame
    if not (is_column or isinstance(text, str | Sequence | np.ndarray)) or not len(text):
        raise errors.InputError(
            f"text={text!r:.80} is neither a text nor several texts; give words, such as 'red dress'"
        )
    texts = check_texts([text] if isinstance(text, str) else text)
    own: Any = getattr(encoder, "embed_text", None)
    if learned is None and callable(own):
        return queries.Likeness("text", check_vectors(own(texts), dim), weight)
    words = learned or known_by(encoder)
    if words is None:
        raise errors.InputError(
            "this index knows no words: call index.learn_text('title') with the metadata field that holds its items' titles, "
            "or learn_text(titles, images); or use an encoder that has embed_text, or 'fashion', which knows some"
        )
    probes, said = words.read(texts)
    return Said(check_vectors(probes, dim), said, words, weight)


def known_by(encoder: Embeds | None) -> Words | None:
    """Return the words that ship with an encoder, if some do; with an object of the user's own none do."""
    identity = getattr(encoder, "identity", None)
    return shipped_words(str(identity().get("fingerprint"))) if callable(identity) else None


def learn(
    engine: Engine,
    encoder: Embeds | None,
    titles: str | Sequence[str | None],
    images: Images | None,
    *,
    background: str,
    random_state: int,
    on_error: str,
    progress: bool,
) -> Words:
    """Learn words; the arguments and errors are those of `VisualIndex.learn_text`."""
    from fashionsearch.words.learning import learn_words

    if images is None:
        if isinstance(titles, str):
            engine.check_field(titles, "learn_text")
        texts, vectors = _of_items(engine, titles)
    elif encoder is None:
        raise errors.InputError(
            "this index has no encoder to embed images with; learn from its own items, without images"
        )
    else:
        texts = _given(titles)
        seeing = encoders.seeing(encoder, background)
        vectors, positions, _, failures = encoders.embed_all(seeing, images, on_error, None)
        _check_count(len(texts), len(vectors) + len(failures), "images")
        tell_left_out(failures, len(texts))
        texts = [texts[position] for position in positions]
    there = [place for place, text in enumerate(texts) if isinstance(text, str) and text.strip()]
    wrong = next((text for text in texts if text is not None and not isinstance(text, str)), None)
    if wrong is not None:
        raise errors.InputError(
            f"the title {wrong!r:.60} is a {type(wrong).__name__}; titles are text, or None where unknown"
        )
    named = [text for place in there if isinstance(text := texts[place], str)]
    checked = queries.unit(check_vectors(vectors[there], engine.settings.dim)) if there else vectors[:0]
    words = learn_words(named, checked, start=known_by(encoder), random_state=random_state, progress=progress)
    return replace(words, field=titles) if isinstance(titles, str) else words


def _of_items(engine: Engine, titles: str | Sequence[str | None]) -> tuple[list[Any], NDArray[np.float32]]:
    """Return titles and vectors of the items, or of some of them where they are very many."""
    ids = list(engine)
    given = None if isinstance(titles, str) else _given(titles)
    if given is not None:
        _check_count(len(given), len(ids), "items of the index")
    if len(ids) > _MOST_LEARNED:
        chosen = np.sort(np.random.default_rng(0).choice(len(ids), _MOST_LEARNED, replace=False)).tolist()
        ids, given = [ids[place] for place in chosen], given and [given[place] for place in chosen]
    rows = fetch_present(engine, ids)
    if given is None:
        return [metadata.get(str(titles)) for metadata in rows.metadata], rows.vectors
    title: Mapping[Any, Any] = dict(zip(ids, given, strict=True))
    return [title[item] for item in rows.ids], rows.vectors


def _given(titles: Sequence[str | None] | str) -> list[Any]:
    if isinstance(titles, str):
        raise errors.InputError(
            f"titles={titles!r:.60} is one text, and images were given; give one title for each of them"
        )
    if not isinstance(titles, Iterable):
        raise errors.InputError(
            f"titles={titles!r:.60} is neither the name of a metadata field nor a list of titles"
        )
    return [None if is_missing(title) else title for title in titles]


def _check_count(titles: int, others: int, what: str) -> None:
    if titles != others:
        raise errors.InputError(
            f"there are {titles:,} titles and {others:,} {what}; give one for each, None where unknown"
        )

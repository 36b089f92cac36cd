"""“Like this, but red”: candidates ranked by what a tagger's heads say of them.

A direction of "red" in the space of embeddings leads to other kinds of things. The chance that a head gives an item to be
red, times the chance that it is of the photo's own kind, doesn't; the logarithms of chances add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index.attributes import Attributes
from fashionsearch.index.queries import unit
from fashionsearch.index.rows import Rows, row_lengths

if TYPE_CHECKING:
    from fashionsearch.tagging.head import LinearHead
    from fashionsearch.tagging.taxonomy import Taxonomy

# What a logarithm of a chance counts beside a cosine, chosen on the validation names of benchmarks/buying: of what is asked
# for and of the photo's own kind, and of its other attributes. Still more for the former finds hardly more of what is asked
# for, and loses what the photo else shows.
_ASKED = _KIND = 3.0
_OTHER = 0.2
_LEAST = 1e-6  # chance: a head that rules something out is not so sure as it says


@dataclass(frozen=True, eq=False)
class Towards:
    """Attributes that are asked for in each of n queries, and those of the query's own that are kept.

    Attributes:
        attributes: who tells the attributes of candidates.
        wanted: attribute -> (n, c) float64, how much each class is wanted, rows adding up to 1.
        weights: attribute -> what it counts.
        probes: (n, dim) float32 of length 1, where such items lie; 0 where the items' vectors don't tell.
    """

    attributes: Attributes
    wanted: Mapping[str, NDArray[np.float64]]
    weights: Mapping[str, float]
    probes: NDArray[np.float32]

    @property
    def name(self) -> str:
        """Its key in `Match.parts`."""
        return "attributes"

    @property
    def is_linear(self) -> bool:
        """Whether the engine's own order is that of the scores: no."""
        return False

    def repeated(self, n: int) -> Towards:
        """Return what one query says, said in n."""
        wanted = {name: np.repeat(each, n, axis=0) for name, each in self.wanted.items()}
        return replace(self, wanted=wanted, probes=np.repeat(self.probes, n, axis=0))

    def scores(self, query: int, rows: Rows) -> NDArray[np.float32]:
        """Return (m,) weighed logarithms of chances, at most 0; the least where attributes can't be told."""
        embeddings, known = self.attributes.of_items(rows)
        heads, found = self.attributes.tagger.heads_, np.zeros(len(rows))
        for name, wanted in self.wanted.items():
            chances = heads[name].probabilities(embeddings) @ wanted[query]
            found += self.weights[name] * np.log(np.where(known, np.maximum(chances, _LEAST), _LEAST))
        return found.astype(np.float32)


def towards(
    asked: object, attributes: Attributes, own: NDArray[np.float32] | None, dim: int, *, alone: bool
) -> Towards:
    """Return the term of what is asked for.

    Args:
        asked: attribute -> the class that is wanted.
        attributes: who tells them.
        own: (n, d) the tagger's embeddings of the queries, whose other attributes are kept; None where there are none.
        dim: of the index's vectors.
        alone: whether nothing else is said, so that items are searched by this alone.

    Raises:
        InputError: if it asks for what the tagger doesn't know, or for nothing, or items can't be searched by it alone.
    """
    tagger = attributes.tagger
    classes = _checked(asked, tagger.classes_)
    if alone and not attributes.on_vectors:
        raise errors.InputError(
            f"towards={asked!r:.200} alone can't be searched by, since the tagger embeds otherwise than this index's "
            "encoder; give photos, text= or id= too, or a tagger that embeds as the index does"
        )
    heads = tagger.heads_
    n = 1 if own is None else len(own)
    wanted: dict[str, NDArray[np.float64]] = {
        name: np.tile(np.eye(len(heads[name].bias))[place], (n, 1)) for name, place in classes.items()
    }
    weights = dict.fromkeys(wanted, _ASKED)
    if own is not None:
        kept = _kept(tagger.attributes_, tagger.taxonomy_, set(wanted))
        wanted |= {name: heads[name].probabilities(own) for name in kept}
        weights |= kept
    probes = np.zeros((n, dim), dtype=np.float32)
    if attributes.on_vectors:
        probes = _probes(heads, wanted, weights)
    return Towards(attributes, wanted, weights, probes)


def _checked(asked: object, known: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Return attribute -> the place of the class that is asked for."""
    if not isinstance(asked, Mapping) or not asked:
        raise errors.InputError(
            f"towards={asked!r:.200} is not a mapping of attributes to what is wanted, such as {{'baseColour': 'Red'}}"
        )
    found = {}
    for name, value in asked.items():
        if name not in known:
            raise errors.InputError(
                f"towards names {name!r}, which is no attribute of the tagger; they are {', '.join(known)}."
                + errors.did_you_mean(str(name), list(known))
            )
        classes = known[name].tolist()
        plain = value.item() if isinstance(value, np.generic) else value
        places = [place for place, each in enumerate(classes) if type(each) is type(plain) and each == plain]
        if not places:
            names = [str(each) for each in classes]
            shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
            raise errors.InputError(
                f"towards asks for {name}={value!r:.80}, which the tagger doesn't know; it knows {shown}."
                + errors.did_you_mean(str(value), names)
            )
        found[str(name)] = places[0]
    return found


def _kept(names: tuple[str, ...], taxonomy: Taxonomy, asked: set[str]) -> dict[str, float]:
    """Return what each attribute counts that isn't asked for, coarser and finer names of what is asked left out.

    The finest attribute of a tree says what kind of thing it is, so those above it say nothing more. Without a tree any may
    be the kind.
    """
    above = {name: set(taxonomy.path(name)[:-1]) for name in names}
    coarser = set().union(*above.values())
    related = asked.union(*(above[name] for name in asked))
    related |= {name for name in names if above[name] & asked}
    return {
        name: _KIND if above[name] or not coarser else _OTHER
        for name in names
        if name not in related and name not in coarser
    }


def _probes(
    heads: Mapping[str, LinearHead],
    wanted: Mapping[str, NDArray[np.float64]],
    weights: Mapping[str, float],
) -> NDArray[np.float32]:
    """Return (n, dim) of length 1: the heads are linear, so items of large logits lie along their weights."""
    found = np.sum(
        [
            weights[name] * (each - 1 / each.shape[1]) @ heads[name].weight.astype(np.float64)
            for name, each in wanted.items()
        ],
        axis=0,
    )
    lengths = row_lengths(found)
    return unit(np.where(lengths[:, None] > 0, found, 1).astype(np.float32))

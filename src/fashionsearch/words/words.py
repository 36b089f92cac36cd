"""Texts and photos in one space, learned from titles; NumPy alone."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fashionsearch.storage import Fields
from fashionsearch.storage.arrays import Expected, check_arrays
from fashionsearch.words.tokens import check_texts, tokens

if TYPE_CHECKING:
    from typing_extensions import Self

# The layers of each network: of a text, to what it says and to where its photos lie; of a photo, one straight and two bent.
LAYERS = ("said", "probe", "straight", "bent", "unbent")
_SHORTEST = np.float32(1e-6)
_Vectors: TypeAlias = "NDArray[np.float32]"


@dataclass(frozen=True, eq=False)
class Words:
    """What embeds texts and photos' embeddings into one space: several small networks that learned from titles, averaged.

    A network takes the mean of a vector for each piece of a text. One layer makes of it what the text says, to which photos
    are compared after two layers of their own; and another makes of it the place in the photos' own space where candidates
    are. Only hashes of pieces are kept, and no text.

    Attributes:
        hashes: (v,) uint32, ascending, of the pieces that are known.
        table: (v, s, h) int8, a vector of each piece in each of s networks.
        scale: (v, s) float16, what a row of the table is multiplied by.
        center: (dim,) float32, the mean of the photos' embeddings.
        basis: (r, dim) float16; `(vectors - center) @ basis.T` is white.
        layers: by name in `LAYERS`, (s, in, out) float16, and some with "_bias" behind, (s, out).
        field: of the items' metadata that held the titles; "" where they weren't in one.
    """

    hashes: NDArray[np.uint32]
    table: NDArray[np.int8]
    scale: NDArray[np.float16]
    center: _Vectors
    basis: NDArray[np.float16]
    layers: Mapping[str, NDArray[np.float16]]
    field: str = ""

    name: ClassVar[str] = "words"

    @property
    def dim(self) -> int:
        """The length of an embedding."""
        return int(self.basis.shape[1])

    def embed_text(self, texts: Sequence[str]) -> _Vectors:
        """Return (n, dim) float32 of length 1 of n texts: the photos of what they say are near.

        Raises:
            InputError: if a text is empty, too long or no text.
        """
        return self.read(texts)[0]

    def read(self, texts: Sequence[str]) -> tuple[_Vectors, _Vectors]:
        """Return (n, dim) as `embed_text`, and (n, s·w), whose inner products with what `see` returns are scores.

        Raises:
            InputError: if a text is empty, too long or no text.
        """
        means = [self._mean(text) for text in check_texts(texts)]
        probes = np.empty((len(means), self.dim), np.float32)
        said = np.empty((len(means), self._full["said_bias"].size), np.float32)
        for place, mean in enumerate(means):
            said[place] = self._layer(mean, "said").reshape(-1)
            probes[place] = self._layer(mean, "probe").sum(axis=0) @ self._full["basis"]
        return _unit(probes), said

    def see(self, vectors: _Vectors) -> _Vectors:
        """Return (m, s·w) float32 of (m, dim) unit vectors of photos; scores are the mean cosine over the networks."""
        full, members = self._full, self.table.shape[1]
        # One product for all networks, which are too small to be fast by themselves.
        first = (
            (vectors - self.center) @ full["first"]
            if self.dim <= len(self.basis)
            else self._white(vectors) @ full["all"]
        )
        first += full["all_bias"]
        straight, bent = np.split(first, [members * full["straight_bias"].shape[1]], axis=1)
        np.maximum(bent, 0, out=bent)
        pieces = [
            _unit(one + two @ full["unbent"][member])
            for member, (one, two) in enumerate(
                zip(np.split(straight, members, axis=1), np.split(bent, members, axis=1), strict=True)
            )
        ]
        return np.asarray(np.concatenate(pieces, axis=1) / members, dtype=np.float32)

    def _white(self, vectors: _Vectors) -> _Vectors:
        return np.asarray((vectors - self.center) @ self._full["basis"].T, dtype=np.float32)

    @functools.cached_property
    def _full(self) -> dict[str, _Vectors]:
        """The layers and the basis in full precision, in which a processor is faster."""
        arrays = {**self.layers, "basis": self.basis}
        full = {name: array.astype(np.float32) for name, array in arrays.items()}
        both = ("straight", "bent")
        full["all"] = np.concatenate([layer for name in both for layer in full[name]], axis=1)
        full["all_bias"] = np.concatenate([layer for name in both for layer in full[f"{name}_bias"]])
        if self.dim <= len(self.basis):  # else it would be larger than the two that it is made of
            full["first"] = full["basis"].T @ full["all"]
        return full

    def _mean(self, text: str) -> _Vectors:
        """Return (s, h), the mean of the vectors of those pieces that are known."""
        hashes = tokens(text).hashes
        places = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        places = places[self.hashes[places] == hashes]
        rows, scale = self.table[places].astype(np.float32), self.scale[places].astype(np.float32)
        mean: _Vectors = np.einsum("tsh,ts->sh", rows, scale) / np.float32(max(len(places), 1))
        return mean

    def _layer(self, mean: _Vectors, name: str) -> _Vectors:
        """Return (s, out) of length 1."""
        return _unit((mean[:, None] @ self._full[name])[:, 0] + self._full[f"{name}_bias"])

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `from_state` makes it of again."""
        arrays = {name: getattr(self, name) for name in ("hashes", "table", "scale", "center", "basis")}
        return {"dim": self.dim, "field": self.field}, {**arrays, **self.layers}

    @classmethod
    def from_state(cls, config: Fields, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return what `state` was taken of.

        Raises:
            CorruptFileError: if a field isn't what it must be.
            ValueError: if an array is none of these.
        """
        dim = config.whole("dim", least=1)
        half = "float16"
        layers: Expected = {
            "said": (half, ("networks", "hidden", "width")),
            "said_bias": (half, ("networks", "width")),
            "probe": (half, ("networks", "hidden", "rank")),
            "probe_bias": (half, ("networks", "rank")),
            "straight": (half, ("networks", "rank", "width")),
            "straight_bias": (half, ("networks", "width")),
            "bent": (half, ("networks", "rank", "bent")),
            "bent_bias": (half, ("networks", "bent")),
            "unbent": (half, ("networks", "bent", "width")),
        }
        others: Expected = {
            "hashes": ("uint32", ("pieces",)),
            "table": ("int8", ("pieces", "networks", "hidden")),
            "scale": (half, ("pieces", "networks")),
            "center": ("float32", (dim,)),
            "basis": (half, ("rank", dim)),
        }
        check_arrays(arrays, {**others, **layers})
        hashes = arrays["hashes"]
        if not len(hashes) or not (hashes[1:] > hashes[:-1]).all():
            raise ValueError("'hashes' are empty or not in ascending order")
        return cls(
            **{name: arrays[name] for name in others},
            layers={name: arrays[name] for name in layers},
            field=config.text("field"),
        )


def _unit(vectors: _Vectors) -> _Vectors:
    found: _Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _SHORTEST)
    return found

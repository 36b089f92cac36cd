"""Texts as vectors in the space of an index's photos, learned from titles; NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fashionsearch.storage import Fields
from fashionsearch.storage.arrays import check_arrays
from fashionsearch.words.tokens import check_texts, tokens

if TYPE_CHECKING:
    from typing_extensions import Self

_SHORTEST = np.float32(1e-6)


@dataclass(frozen=True, eq=False)
class Words:
    """What embeds texts into the space of an index's photos: several small networks that learned from titles, averaged.

    Each adds up a vector for each piece of a text, takes the mean through one layer, and makes it 1 long. Only hashes of
    pieces are kept, and no text.

    Attributes:
        hashes: (v,) uint32, ascending, of the pieces that are known.
        table: (v, s, h) int8, a vector of each piece in each of s networks.
        scale: (v, s) float16, what a row of the table is multiplied by.
        weight: (s, h, r) float16, of the layer.
        bias: (s, r) float16, of the layer.
        basis: (r, dim) float16, the directions of the photos' space that the layer's units stand for.
    """

    hashes: NDArray[np.uint32]
    table: NDArray[np.int8]
    scale: NDArray[np.float16]
    weight: NDArray[np.float16]
    bias: NDArray[np.float16]
    basis: NDArray[np.float16]

    name: ClassVar[str] = "words"

    @property
    def dim(self) -> int:
        """The length of an embedding."""
        return int(self.basis.shape[1])

    def embed_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (n, dim) float32 of length 1 of n texts: photos of what they say are near.

        Raises:
            InputError: if a text is empty, too long or no text.
        """
        found = np.empty((len(texts), self.dim), np.float32)
        for place, text in enumerate(check_texts(texts)):
            found[place] = self._embedded(text)
        return found

    def _embedded(self, text: str) -> NDArray[np.float32]:
        hashes = tokens(text).hashes
        places = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        places = places[self.hashes[places] == hashes]
        mean = np.einsum("tsh,ts->sh", self.table[places].astype(np.float32), self.scale[places].astype(np.float32))
        mean /= np.float32(max(len(places), 1))
        said = np.einsum("sh,shr->sr", mean, self.weight.astype(np.float32)) + self.bias
        said /= np.maximum(np.linalg.norm(said, axis=1, keepdims=True), _SHORTEST)
        vector = said.sum(axis=0) @ self.basis
        found: NDArray[np.float32] = vector / np.maximum(np.linalg.norm(vector), _SHORTEST)
        return found

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `from_state` makes it of again."""
        return {"dim": self.dim}, {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_state(cls, config: Fields, arrays: dict[str, NDArray[Any]]) -> Self:
        """Return what `state` was taken of.

        Raises:
            CorruptFileError: if a field isn't what it must be.
            ValueError: if an array is none of these.
        """
        check_arrays(
            arrays,
            {
                "hashes": ("uint32", ("pieces",)),
                "table": ("int8", ("pieces", "networks", "hidden")),
                "scale": ("float16", ("pieces", "networks")),
                "weight": ("float16", ("networks", "hidden", "rank")),
                "bias": ("float16", ("networks", "rank")),
                "basis": ("float16", ("rank", config.whole("dim", least=1))),
            },
        )
        hashes = arrays["hashes"]
        if not len(hashes) or not (hashes[1:] > hashes[:-1]).all():
            raise ValueError("'hashes' are empty or not in ascending order")
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})

"""Texts as vectors in the space of an index's photos, learned from titles; NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from fashionsearch.storage import Fields
from fashionsearch.storage.arrays import check_arrays
from fashionsearch.words.tokens import check_texts, tokens

_VERSION = 1


@dataclass(frozen=True, eq=False)
class Words:
    """What embeds texts into the space of an index's photos: several small networks that learned from titles, averaged.

    Each adds up a vector for each piece of a text, takes the mean through one layer, and makes it 1 long. Only hashes of
    pieces are kept, and no text.

    Attributes:
        hashes: (v,) uint32, ascending, of the pieces that are known.
        table: (v, s, h) int8, a vector of each piece in each of s networks.
        scale: (v, s) float32, what a row of the table is multiplied by.
        weight: (s, h, r) float32 and
        bias: (s, r) float32 of the layer.
        basis: (r, dim) float32, the directions of the photos' space that the layer's units stand for.
    """

    hashes: NDArray[np.uint32]
    table: NDArray[np.int8]
    scale: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    basis: NDArray[np.float32]

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
        rows = self.table[places] * self.scale[places][:, :, None]
        mean = rows.sum(axis=0) / np.float32(max(len(places), 1))
        said = (mean[:, None] @ self.weight)[:, 0] + self.bias
        said /= np.maximum(np.linalg.norm(said, axis=1, keepdims=True), np.float32(1e-6))
        vector = said.sum(axis=0) @ self.basis
        found: NDArray[np.float32] = vector / np.maximum(np.linalg.norm(vector), np.float32(1e-6))
        return found

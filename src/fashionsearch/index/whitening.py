"""Whitening: embeddings along their principal axes, each of the same spread, where what is common to all counts less.

Jégou and Chum 2012, "Negative evidences and co-occurrences in image retrieval: the benefit of PCA and whitening".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch.storage.arrays import check_arrays

# Of the mean variance, added to each: directions that hold hardly more than noise are not blown up. Chosen on the validation
# names of benchmarks/buying/feedback.py, where 0.1 loses with an encoder that learned its own metric.
_SHRINKAGE = 1.0


@dataclass(frozen=True, eq=False)
class Whitening:
    """A map of unit vectors to whitened unit vectors.

    Attributes:
        mean: (dim,) float32.
        matrix: (dim, dim) float32; `(vectors - mean) @ matrix` is white.
        items: of how many it was learned.
    """

    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]
    items: int

    @property
    def name(self) -> str:
        """What it is kept under."""
        return "whitening"

    @classmethod
    def fitted(cls, vectors: NDArray[np.float32], *, items: int | None = None) -> Whitening:
        """Learn from a sample of unit vectors; from an empty one, that nothing is common to all.

        Args:
            vectors: (m, dim) float32.
            items: how many the sample stands for; None is m.
        """
        if not len(vectors):
            dim = vectors.shape[1]
            return cls(np.zeros(dim, dtype=np.float32), np.eye(dim, dtype=np.float32), 1)
        exact = vectors.astype(np.float64)
        mean = exact.mean(axis=0)
        variances, axes = np.linalg.eigh(
            np.cov(exact - mean, rowvar=False, bias=True).reshape(len(mean), len(mean))
        )
        spread = np.maximum(variances, 0) + _SHRINKAGE * max(float(variances.mean()), 1e-12)
        matrix = (axes / np.sqrt(spread)) @ axes.T
        return cls(
            mean.astype(np.float32), matrix.astype(np.float32), len(vectors) if items is None else items
        )

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (m, dim) whitened vectors of length 1; a zero vector where there is nothing beside the mean."""
        white = (vectors - self.mean) @ self.matrix
        lengths = np.linalg.norm(white, axis=1, keepdims=True)
        found: NDArray[np.float32] = (white / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        return found

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `from_state` makes it of again."""
        return {"items": self.items}, {"mean": self.mean, "matrix": self.matrix}

    @classmethod
    def from_state(cls, config: Any, arrays: dict[str, NDArray[Any]]) -> Whitening:
        """Return what `state` was taken of.

        Raises:
            ValueError: if it isn't that.
        """
        check_arrays(arrays, {"mean": ("float32", ("dim",)), "matrix": ("float32", ("dim", "dim"))})
        return cls(arrays["mean"], arrays["matrix"], config.whole("items", least=1))

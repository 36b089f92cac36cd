"""The map between the spaces of two encoders: new queries search old vectors.

One matrix W, (old dim, new dim), serves both ways. An old vector x is estimated in the new space as (x − mean) W + mean; a
query y searches the old vectors as (y − mean) Wᵀ. Both give the same inner products, so an engine that holds the old vectors
finds the candidates, and none of them is written again (Drift-Adapter, arXiv 2509.23471). The candidates' order is that of
the cosines between the query and their estimates, which an engine of old vectors can't tell: P@1 grows by 3 points so.

W is learned from pairs, the vectors of one photo by both encoders: orthogonal (Procrustes; with orthonormal rows or columns
where the dims differ), or by ridge regression. Which of them, and how strong the ridge is, a part of the pairs decides. On
that part the cosines to estimates are compared with those to new vectors as well: they differ in level and spread, and are
brought to those of the new ones, so that both stand in one list.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch.index.queries import unit

_RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # times the mean variance of an old component, times the pairs
_VALIDATION = 0.25
_NEAREST = 10
_CALIBRATED = 20  # nearest of each query by which the two scales are compared
_FEW = 8  # pairs, of which none can be spared to decide
_SKETCHED = 8

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SpaceMap:
    """A map between the unit vectors of an old and of a new encoder.

    Attributes:
        kind: "procrustes" or "ridge".
        weights: (old dim, new dim) float32.
        old_mean: (old dim,).
        new_mean: (new dim,).
        slope: with `level`, brings cosines to estimates to the level and spread of those to new vectors.
        level: likewise.
    """

    kind: str
    weights: Array
    old_mean: Array
    new_mean: Array
    slope: float = 1.0
    level: float = 0.0

    @classmethod
    def nothing(cls, old_dim: int, new_dim: int) -> SpaceMap:
        """Return a map that is yet to be learned."""
        zeros = np.zeros((old_dim, new_dim), np.float32)
        return cls("procrustes", zeros, np.ones(old_dim, np.float32), np.ones(new_dim, np.float32))

    def probes(self, vectors: Array) -> Array:
        """Return (n, old dim) vectors by which n new ones, (n, new dim), search old ones."""
        found: Array = ((unit(vectors) - self.new_mean) @ self.weights.T).astype(np.float32)
        found[~np.any(found, axis=1)] = self.old_mean  # nothing is known of it
        return found

    def estimates(self, vectors: Array) -> Array:
        """Return (n, new dim) estimates of what the new encoder makes of photos, whose old vectors are (n, old dim)."""
        found = ((unit(vectors) - self.old_mean) @ self.weights + self.new_mean).astype(np.float32)
        found[~np.any(found, axis=1)] = 1.0  # nothing is known of it
        return found

    def rescaled(self, similarities: Array) -> Array:
        """Return cosines to estimates on the scale of those to new vectors."""
        found: Array = np.clip(self.slope * similarities + self.level, -1, 1).astype(np.float32)
        return found

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return what JSON and what arrays hold of it."""
        config = {"kind": self.kind, "slope": self.slope, "level": self.level}
        arrays = {"weights": self.weights, "old_mean": self.old_mean, "new_mean": self.new_mean}
        return config, arrays

    @classmethod
    def from_state(cls, config: dict[str, Any], arrays: dict[str, Array], shape: tuple[int, int]) -> SpaceMap:
        """Return the map that `state` described.

        Raises:
            ValueError: if it doesn't map between dims of this shape, (old, new).
        """
        numbers = [config["slope"], config["level"]]
        shapes = {"weights": shape, "old_mean": shape[:1], "new_mean": shape[1:]}
        if config["kind"] not in ("procrustes", "ridge") or not all(
            type(number) is float and np.isfinite(number) for number in numbers
        ):
            raise ValueError("the map isn't one that was learned")
        for name, expected in shapes.items():
            array = arrays[name]
            if array.shape != expected or array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"{name} of the map isn't {expected} finite float32")
        return cls(config["kind"], arrays["weights"], arrays["old_mean"], arrays["new_mean"], *numbers)


def learn(old: Array, new: Array, *, random_state: int = 0) -> SpaceMap:
    """Learn the map between two encoders' spaces.

    Args:
        old: (n, old dim) vectors of n photos by the old encoder.
        new: (n, new dim) vectors of the same photos by the new one.
        random_state: of the part of the pairs that decides between maps.
    """
    old, new = unit(old), unit(new)
    order = np.random.default_rng(random_state).permutation(len(old))
    judged = order[: max(2, int(_VALIDATION * len(order)))]
    learned = order[len(judged) :]
    if len(order) < _FEW:
        judged = learned = order
    kinds = list(_maps(old[learned], new[learned]))
    scores = [
        recalls(similarities(each, old[judged], new[judged]), new[judged] @ new[judged].T).mean()
        for each in kinds
    ]
    best = int(np.argmax(scores))
    slope, level = _calibrated(
        similarities(kinds[best], old[judged], new[judged]), new[judged] @ new[judged].T
    )
    return replace(list(_maps(old, new))[best], slope=slope, level=level)


def similarities(mapping: SpaceMap, old: Array, new: Array) -> Array:
    """Return (n, n) cosines of n queries, given by their new vectors, and the estimates of the same photos."""
    found: Array = unit(new) @ unit(mapping.estimates(old)).T
    return found


def recalls(found: Array, truth: Array, k: int = _NEAREST) -> NDArray[np.float64]:
    """Return for each of n queries which share of its k nearest by one (n, n) similarity are so by another.

    Query i is item i, which is left out of its own answers.
    """
    k = max(1, min(k, len(found) - 1))
    tops = [np.argsort(-_others(each), axis=1, kind="stable")[:, :k] for each in (found, truth)]
    return np.array([len(np.intersect1d(*pair)) / k for pair in zip(*tops, strict=True)])


def _others(found: Array) -> Array:
    """Return (n, n) similarities of which each query's to itself can't win."""
    others = found.copy()
    np.fill_diagonal(others, -np.inf)
    return others


def _maps(old: Array, new: Array) -> Iterator[SpaceMap]:
    """Yield the maps that pairs of unit vectors give, always in the same order."""
    old_mean, new_mean = old.mean(axis=0), new.mean(axis=0)
    xs, ys = (old - old_mean).astype(np.float64), (new - new_mean).astype(np.float64)

    def made(kind: str, weights: NDArray[np.float64]) -> SpaceMap:
        return SpaceMap(kind, weights.astype(np.float32), old_mean, new_mean)

    left, _, right = np.linalg.svd(xs.T @ ys, full_matrices=False)
    yield made("procrustes", left @ right)
    few = len(xs) <= xs.shape[1]  # then the pairs span less than the components do
    gram = xs @ xs.T if few else xs.T @ xs
    unscaled = float(np.trace(gram)) / len(gram) or 1.0  # of things that are all alike
    for ridge in _RIDGES:
        held = gram + ridge * unscaled * np.eye(len(gram))
        yield made("ridge", xs.T @ np.linalg.solve(held, ys) if few else np.linalg.solve(held, xs.T @ ys))


def _calibrated(found: Array, truth: Array) -> tuple[float, float]:
    """Return the line that brings some cosines to the level and spread of others, among the nearest by the former."""
    k = max(2, min(_CALIBRATED, len(found) - 1))
    near = np.argsort(-_others(found), axis=1, kind="stable")[:, :k]
    xs, ys = (np.take_along_axis(each, near, axis=1).ravel().astype(np.float64) for each in (found, truth))
    spread = float(xs.std())
    slope = float(ys.std()) / spread if spread > 0 else 1.0
    return slope, float(ys.mean() - slope * xs.mean())


def sketch(vectors: Array) -> Array:
    """Return (n, 8) numbers in [−1, 1] by which vectors of one space are told apart, whatever their lengths."""
    drawn = np.random.default_rng(0).standard_normal((vectors.shape[1], _SKETCHED))
    found: Array = unit(vectors) @ (drawn / np.linalg.norm(drawn, axis=0)).astype(np.float32)
    return found

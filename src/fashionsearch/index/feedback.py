"""What was liked and what was not: candidates ranked by how good a few judgements make them look.

Each judgement is a point at which goodness is known: 1 of what was liked and of what was asked for, 0 of what was not liked.
Between the points it is a Gaussian process (Rasmussen and Williams 2006), so likes of several kinds may lie apart, and a
dislike counts where it is near. Far from all points nothing is known to be good. Two things are as alike as the cosines say,
of their embeddings and of their whitened embeddings, which tell apart what an encoder holds nearly alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index.queries import unit
from fashionsearch.index.rows import Rows, row_lengths
from fashionsearch.index.whitening import Whitening

# Chosen on the validation names of benchmarks/buying/feedback.py, for two encoders together.
_REACH = 0.4  # of a judgement, in cosines
_NOISE = 0.5  # variance of a judgement beside that of goodness
_WEIGHT = 4.0  # of goodness beside a cosine
_NOTHING = 1e-6


@dataclass(frozen=True, eq=False)
class Feedback:
    """Goodness by a few judgements, in each of n queries.

    Attributes:
        points: (n, m, dim) float32 unit vectors that were judged.
        strengths: (n, m) float32, how much being near to each adds.
        whitening: of the items' embeddings.
        probes: (n, dim) float32 of length 1, or 0 where judgements cancel each other out.
    """

    points: NDArray[np.float32]
    strengths: NDArray[np.float32]
    whitening: Whitening
    probes: NDArray[np.float32]

    @property
    def name(self) -> str:
        """Its key in `Match.parts`."""
        return "feedback"

    @property
    def is_linear(self) -> bool:
        """Whether the engine's own order is that of the scores: no."""
        return False

    @classmethod
    def given(
        cls,
        wanted: NDArray[np.float32] | None,
        likes: NDArray[np.float32],
        unlikes: NDArray[np.float32],
        whitening: Whitening,
    ) -> Feedback:
        """Learn from judgements.

        Args:
            wanted: (n, dim) what is asked for beside them, in each query; None where nothing is.
            likes: (l, dim).
            unlikes: (u, dim).
            whitening: of the items' embeddings.

        Raises:
            InputError: if nothing else is asked for, and the judgements cancel each other out.
        """
        judged = unit(np.concatenate([likes, unlikes]))
        goods = np.repeat([1.0, 0.0], [len(likes), len(unlikes)])
        if wanted is None:
            points = judged[None]
        else:
            asked = unit(wanted)[:, None]
            points = np.concatenate([asked, np.repeat(judged[None], len(asked), axis=0)], axis=1)
            goods = np.concatenate([[1.0], goods])
        strengths = np.stack([_fitted(each, goods, whitening) for each in points])
        probes = np.stack(
            [_probe(each, found, whitening) for each, found in zip(points, strengths, strict=True)]
        )
        if wanted is None and not probes.any():
            raise errors.InputError(
                "like and unlike cancel each other out: nothing is left to search by; leave one out"
            )
        return cls(points, strengths, whitening, probes)

    def repeated(self, n: int) -> Feedback:
        """Return what one query says, said in n."""
        points, strengths, probes = (
            np.repeat(array, n, axis=0) for array in (self.points, self.strengths, self.probes)
        )
        return replace(self, points=points, strengths=strengths, probes=probes)

    def scores(self, query: int, rows: Rows) -> NDArray[np.float32]:
        """Return (m,) scores of m items for one of the queries: 0 far from all judgements, about 4 near the liked."""
        likeness = _likeness(unit(rows.vectors), self.points[query], self.whitening)
        found: NDArray[np.float32] = (likeness @ self.strengths[query]).astype(np.float32)
        return np.float32(_WEIGHT) * found


def _likeness(
    first: NDArray[np.float32], second: NDArray[np.float32], whitening: Whitening
) -> NDArray[np.float64]:
    """Return (n, m) covariances of goodness, from 0 to 1, of unit vectors (n, dim) and (m, dim)."""
    plain, white = first @ second.T, whitening(first) @ whitening(second).T
    cosines = (plain.astype(np.float64) + white) / 2
    found: NDArray[np.float64] = np.exp((cosines - 1) / _REACH)
    return found


def _fitted(
    points: NDArray[np.float32], goods: NDArray[np.float64], whitening: Whitening
) -> NDArray[np.float32]:
    """Return (m,) what being near to each of m points adds."""
    covariances = _likeness(points, points, whitening) + _NOISE * np.eye(len(points))
    found: NDArray[np.float32] = np.linalg.solve(covariances, goods).astype(np.float32)
    return found


def _probe(
    points: NDArray[np.float32], strengths: NDArray[np.float32], whitening: Whitening
) -> NDArray[np.float32]:
    """Return (dim,) of length 1, the way in the items' own space along which goodness rises."""
    white = (points - whitening.mean) @ whitening.matrix
    lengths = np.maximum(row_lengths(white), _NOTHING)[:, None]
    ways = points + (white / lengths**2) @ whitening.matrix.T
    found: NDArray[np.float32] = (strengths @ ways).astype(np.float32)
    length = np.float32(np.linalg.norm(found))
    if length < _NOTHING:
        return np.zeros(points.shape[1], dtype=np.float32)
    return np.divide(found, length)

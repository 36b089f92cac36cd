"""A linear head on embeddings: logits, probabilities and their calibration. What fits it is in `head_fit`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.results import ShowsFields

_LOG_TEMPERATURES = (-4.0, 4.0)


@dataclass(frozen=True, eq=False)
class LinearHead(ShowsFields):
    """A function of an embedding alone: logits are `embeddings @ weight.T + bias`.

    Attributes:
        weight: (c, dim) float32.
        bias: (c,) float32.

    Raises:
        WeightsError: if a weight is NaN or infinite, which would end in the first class for every photo.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name in ("weight", "bias"):
            if not np.isfinite(getattr(self, name)).all():
                raise errors.WeightsError(
                    f"the head's {name} holds NaN or infinity, so it can tell nothing; fit it again"
                )

    def logits(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (n, c) float64.

        Raises:
            WeightsError: if an embedding holds NaN or infinity, or is so large that its logits would.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            logits = np.asarray(embeddings @ self.weight.T + self.bias, dtype=np.float64)
        if not np.isfinite(logits).all():
            check_finite(embeddings)
            logits = embeddings.astype(np.float64) @ self.weight.T.astype(np.float64) + self.bias
        return logits

    def probabilities(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (n, c) float64, rows adding up to 1.

        Raises:
            WeightsError: as `logits`.
        """
        return softmax(self.logits(embeddings))

    def calibrated(self, embeddings: NDArray[np.float32], labels: NDArray[np.intp]) -> LinearHead:
        """Return a head of the same predictions whose probabilities fit held-out photos best.

        Args:
            embeddings: (n, dim) float32, n from 1 up.
            labels: (n,) class indices.
        """
        return self.cooled(temperature(self.logits(embeddings), labels))

    def cooled(self, degrees: float) -> LinearHead:
        """Return a head whose logits are these, divided by a temperature."""
        factor = np.float32(1 / degrees)
        return LinearHead(self.weight * factor, self.bias * factor)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, c) probabilities of logits, rows adding up to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)


def inverse_deviation(deviation: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return what (dim,) features are to be multiplied by for a variance of 1, from their standard deviations.

    A feature that hardly varies (a dead unit, a colour that no photo has) carries nothing, and gets 0: it must not be blown
    up.
    """
    least = 1e-3 * float(np.median(deviation[deviation > 0])) if deviation.any() else 1.0
    return np.where(deviation > least, 1 / np.maximum(deviation, least), 0)


def temperature(logits: NDArray[np.float64], labels: NDArray[np.intp]) -> float:
    """Return what logits are to be divided by for the least log loss (Guo et al. 2017, arXiv:1706.04599).

    The labels count as if there had been one photo more, of every class alike, so that a few photos that are all right
    don't end in certainty.

    Args:
        logits: (n, c), of photos that the head was not fitted to, n from 1 up.
        labels: (n,) class indices.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    n, classes = logits.shape
    wanted = np.full((n, classes), 1 / ((n + 1) * classes))
    wanted[np.arange(n), labels] += n / (n + 1)

    def loss(log_temperature: float) -> float:
        scaled = logits * np.exp(-log_temperature)
        return float((logsumexp(scaled, axis=1) - (wanted * scaled).sum(axis=1)).mean())

    found = minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded")
    return float(np.exp(found.x))


def check_finite(embeddings: NDArray[np.float32]) -> None:
    """Raise WeightsError, naming the first photo, if an embedding holds NaN or infinity."""
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        raise errors.WeightsError(
            f"the embedding of image {int(finite.argmin())} holds NaN or infinity; the backbone's weights are damaged or "
            "its precision is too low: try precision='fp32', or other weights"
        )

"""95 % intervals of proportions and means."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fashionsearch import errors

Z = 1.959963984540054


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson 1927).

    Raises:
        InputError: unless 0 <= hits <= n and n is from 1 to 2**53.

    Examples:
        >>> low, high = wilson_interval(925, 1000)
        >>> round(low, 3), round(high, 3)
        (0.907, 0.94)
    """
    if not 0 <= hits <= n or not 1 <= n < 2**53:
        raise errors.InputError(
            f"{hits} hits of {n} are not a proportion; give 0 <= hits <= n with n from 1 to 2**53"
        )
    share = hits / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap_interval(
    values: ArrayLike, *, random_state: int = 0, resamples: int = 2000
) -> tuple[float, float]:
    """Return the 95 % interval of a mean, by a percentile bootstrap over its values (Efron 1979).

    Args:
        values: (n,) one finite number for each photo or query, such as its average precision.
        random_state: of the resampling, from 0 up.
        resamples: how often the values are drawn again, from 1 up.

    Raises:
        InputError: if the values aren't finite numbers of shape (n,), n from 1 up.

    Examples:
        >>> low, high = bootstrap_interval([0.0, 0.5, 1.0, 1.0] * 50)
        >>> low < 0.625 < high
        True
    """
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise errors.InputError(f"values are not an (n,) array of numbers: {error}") from error
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise errors.InputError(f"values have shape {numbers.shape}; give (n,) finite numbers, n from 1 up")
    if resamples < 1:
        raise errors.InputError(f"resamples={resamples!r} is not a whole number from 1 up")
    rng = np.random.default_rng(random_state)
    block = max(1, 2**22 // len(numbers))
    means = [
        numbers[rng.integers(len(numbers), size=(min(block, resamples - start), len(numbers)))].mean(axis=1)
        for start in range(0, resamples, block)
    ]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)

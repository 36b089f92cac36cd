"""Torch on a GPU: compiled for much work, where that was timed and is faster."""

from __future__ import annotations

import time
import warnings

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.runtimes.graph import relative_error
from fashionsearch.runtimes.torch import TorchRuntime

WORTH_COMPILING = 5000
_ROUNDS, _CLEARLY = 3, 0.9
_MAX_ERROR = {"fp32": 0.001}
_MAX_ERROR_IN_LOWER_PRECISION = 0.02


class CompilingRuntime:
    """Eager torch, and from a few thousand images on `torch.compile` for full batches, if it saves a tenth of their time.

    Compiling takes up to a minute, and again for every other shape: batches of another shape stay eager.

    Args:
        eager: the network.
        precision: in which it computes, which says how far both may differ.
    """

    name = "torch"

    def __init__(self, eager: TorchRuntime, precision: str) -> None:
        self._eager, self._precision = eager, precision
        self._compiled: TorchRuntime | None = None
        self._shape: tuple[int, ...] | None = None
        self._expected = self._seen = 0
        self._decided = False

    def expect(self, images: int) -> None:
        """Hear how many images are coming, before the first of them."""
        self._expected, self._seen = images, 0

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map (n, H, W, 3) uint8 pixels to (n, dim) float32."""
        self._seen += len(pixels)
        # A shape that comes twice is that of full batches, and not of a few photos that a cache or a stream left over.
        again, self._shape = pixels.shape == self._shape, self._shape if self._decided else pixels.shape
        if again and not self._decided and max(self._seen, self._expected) >= WORTH_COMPILING:
            self._decided = True
            try:
                self._compiled = self._faster(pixels)
            # What can go wrong between Python, the compilers and the driver has no common base but Exception.
            except Exception as error:
                reason = str(error).strip().splitlines() or [type(error).__name__]
                warnings.warn(
                    f"going on without torch.compile: {reason[0]}", errors.DataWarning, stacklevel=2
                )
        if self._compiled is not None and pixels.shape == self._shape:
            return self._compiled.run(pixels)
        return self._eager.run(pixels)

    def _faster(self, pixels: NDArray[np.uint8]) -> TorchRuntime | None:
        compiled = self._eager.compiled()
        off = relative_error(compiled.run(pixels), self._eager.run(pixels))
        allowed = _MAX_ERROR.get(self._precision, _MAX_ERROR_IN_LOWER_PRECISION)
        if not off <= allowed:
            raise errors.RuntimeUnavailableError(
                f"the compiled network disagrees with the eager one: relative error {off:.2g}, at most {allowed} is allowed"
            )
        seconds: dict[TorchRuntime, float] = {compiled: np.inf, self._eager: np.inf}
        for _ in range(_ROUNDS):
            for runtime in seconds:
                began = time.perf_counter()
                runtime.run(pixels)
                seconds[runtime] = min(seconds[runtime], time.perf_counter() - began)
        return compiled if seconds[compiled] < _CLEARLY * seconds[self._eager] else None

"""The interface of a runtime."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Runtime(Protocol):
    """Runs one network."""

    @property
    def name(self) -> str:
        """Return what the runtime is called."""
        ...

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map (n, H, W, 3) uint8 pixels to (n, dim) float32."""
        ...

    def expect(self, images: int) -> None:
        """Hear that about this many images are coming, before the first of them."""
        ...

"""What is known of a network in lower precision: its graph where it has one, and how much it lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.results import Fidelity
from fashionsearch.runtimes.base import Runtime

_SAME = 0.99


@dataclass(frozen=True, eq=False)
class LowPrecision:
    """A network's lower precision.

    Attributes:
        precision: "bf16" or "int8".
        graph: the ONNX graph in int8; None in bf16, which is the same network computed otherwise.
        fidelity: what was lost, once it is measured.
        expected: (m, dim) float32, what the graph gave for `probe_pixels` where it was measured.
    """

    precision: str
    graph: bytes | None = None
    fidelity: Fidelity | None = None
    expected: NDArray[np.float32] | None = None

    def check(self, runtime: Runtime, image_size: tuple[int, int]) -> None:
        """Raise RuntimeUnavailableError unless a runtime gives here what was given where this was measured."""
        if self.expected is None:
            return
        lowest = float(_cosines(runtime.run(probe_pixels(image_size)), self.expected).min())
        if not lowest >= _SAME:
            raise errors.RuntimeUnavailableError(
                f"the network in int8 gives something else in {runtime.name!r} on this processor than where it was made "
                f"(cosine {lowest:.3f}, at least {_SAME} is wanted); call lower_precision here, or use precision='fp32'"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return all but the graph as JSON holds it."""
        return {
            "precision": self.precision,
            "fidelity": None if self.fidelity is None else asdict(self.fidelity),
            "expected": None if self.expected is None else self.expected.tolist(),
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], graph: bytes | None) -> LowPrecision:
        """Return what `to_dict` wrote, with its graph."""
        fidelity, expected = saved["fidelity"], saved["expected"]
        return cls(
            saved["precision"],
            graph,
            None if fidelity is None else Fidelity(**fidelity),
            None if expected is None else np.array(expected, dtype=np.float32),
        )


def probe_pixels(image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return four pictures, (4, H, W, 3) uint8, of noise and slopes, by which a graph is recognised."""
    height, width = image_size
    pixels = np.random.default_rng(0).integers(0, 256, (4, height, width, 3), dtype=np.uint8)
    slope = np.linspace(0, 255, width, dtype=np.uint8)
    pixels[1:3] = slope[None, None, :, None]
    pixels[2] = pixels[2, :, ::-1] // 2 + 96
    pixels[3] = pixels[3] // 4 + 192
    return pixels


def _cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    products = np.einsum("nd,nd->n", one, other, dtype=np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray(products / np.maximum(lengths, 1e-12))

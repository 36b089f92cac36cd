"""OpenVINO on the CPU: Intel's runtime, an extra for those who have it; its compiled models are kept in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.cache import cache_folder


class OpenVinoRuntime:
    """Runs an ONNX graph with OpenVINO.

    Args:
        graph: maps "pixels", (n, H, W, 3) uint8, to (n, dim) float32.

    Raises:
        RuntimeUnavailableError: if OpenVINO isn't installed, or can't open the graph.
    """

    name = "openvino"

    def __init__(self, graph: bytes) -> None:
        core = _core()
        # Left alone it computes in bf16 where the CPU can, which nobody asked for.
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        folder = cache_folder()
        if folder is not None:
            options["CACHE_DIR"] = str(folder / "openvino")
        try:
            compiled = core.compile_model(core.read_model(graph, b""), "CPU", options)
            self._request: Any = compiled.create_infer_request()
        # OpenVINO raises RuntimeError for everything.
        except RuntimeError as error:
            raise errors.RuntimeUnavailableError(
                f"OpenVINO can't open the exported network: {error}; use runtime='onnx' or 'torch'"
            ) from error

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map (n, H, W, 3) uint8 pixels to (n, dim) float32."""
        self._request.infer({0: pixels})
        # The request's own memory is written again by the next batch.
        result: NDArray[np.float32] = self._request.get_output_tensor(0).data.copy()
        return result

    def expect(self, images: int) -> None:
        """The graph is ready already."""


def _core() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise errors.RuntimeUnavailableError(
            "runtime='openvino' needs OpenVINO: pip install openvino; or use runtime='onnx'"
        ) from error
    return openvino.Core()

"""OpenVINO on the CPU: Intel's runtime, an extra for those who have it; its compiled models are kept in the cache."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.cache import cache_folder
from fashionsearch.runtimes import sessions


class OpenVinoRuntime:
    """Runs an ONNX graph with OpenVINO.

    Args:
        graph: maps "pixels", (n, H, W, 3) uint8, to (n, dim) float32.
        precision: "fp32" or "bf16", in which it computes; a graph in int8 stays in int8.

    Raises:
        RuntimeUnavailableError: if OpenVINO isn't installed, can't open the graph, or this CPU has no arithmetic in bf16.
    """

    name = "openvino"

    def __init__(self, graph: bytes, *, precision: str = "fp32") -> None:
        core = import_openvino().Core()
        if precision == "bf16" and not _has_bf16(core):
            raise errors.RuntimeUnavailableError(
                "this CPU has no arithmetic in bf16, so OpenVINO would compute in fp32; use precision='fp32'"
            )
        # Left alone it computes in bf16 where the CPU can, which nobody asked for.
        hint = {"fp32": "f32", "bf16": "bf16"}[precision]
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
        folder = cache_folder()
        if folder is not None:
            options["CACHE_DIR"] = str(folder / "openvino")
        try:
            compiled = core.compile_model(core.read_model(graph, b""), "CPU", options)
            self._request: Any = compiled.create_infer_request()
            self._free = threading.Lock()  # a request that another thread uses raises
        # OpenVINO raises RuntimeError for everything.
        except RuntimeError as error:
            raise errors.RuntimeUnavailableError(
                f"OpenVINO can't open the exported network: {error}; use runtime='onnx' or 'torch'"
            ) from error
        sessions.opened(self)

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map (n, H, W, 3) uint8 pixels to (n, dim) float32."""
        with self._free:
            self._request.infer({0: pixels})
            # The request's own memory is written again by the next batch.
            result: NDArray[np.float32] = self._request.get_output_tensor(0).data.copy()
        return result

    def expect(self, images: int) -> None:
        """The graph is ready already."""


def import_openvino(argument: str = "runtime") -> Any:
    """Return the package, or raise RuntimeUnavailableError, which names the argument that asked for it."""
    try:
        import openvino
    except ImportError as error:
        raise errors.RuntimeUnavailableError(
            f"{argument}='openvino' needs OpenVINO: pip install openvino; or use {argument}='onnx'"
        ) from error
    return openvino


def _has_bf16(core: Any) -> bool:
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def openvino_has_bf16() -> bool:
    """Return whether OpenVINO is installed and this CPU computes in bf16."""
    try:
        return _has_bf16(import_openvino().Core())
    except errors.RuntimeUnavailableError:
        return False

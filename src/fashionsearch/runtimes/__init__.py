"""What runs a network: one class a file, all with the same small interface.

A runtime maps (n, H, W, 3) uint8 pixels to (n, dim) float32; scaling to [0, 1] and normalisation are part of the
network it runs, so an exported graph equals what was trained.
"""

from __future__ import annotations

from fashionsearch.runtimes.auto import AutoRuntime
from fashionsearch.runtimes.base import Runtime
from fashionsearch.runtimes.choice import check_runtime, open_runtime
from fashionsearch.runtimes.graph import exported, float_graph
from fashionsearch.runtimes.low_precision import Lowered, probe_pixels
from fashionsearch.runtimes.onnx import OnnxRuntime
from fashionsearch.runtimes.openvino import OpenVinoRuntime
from fashionsearch.runtimes.torch import TorchRuntime

__all__ = [
    "AutoRuntime",
    "Lowered",
    "OnnxRuntime",
    "OpenVinoRuntime",
    "Runtime",
    "TorchRuntime",
    "check_runtime",
    "exported",
    "float_graph",
    "open_runtime",
    "probe_pixels",
]

"""ONNX graphs in 8-bit integers, by ONNX Runtime's static post-training quantisation."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.runtimes.onnx import import_onnxruntime
from fashionsearch.runtimes.quiet import quiet

_PIECE = 8  # photos a calibration run, which keeps every layer's activations
_LAYERS = ("Conv", "Gemm", "MatMul")


class Quantiser:
    """Makes int8 graphs of one network, with more or fewer of its layers kept in float.

    Weights are signed and per channel, activations unsigned with the ranges seen on a calibration sample (Jacob et al.
    2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference").

    Args:
        graph: the float32 graph, which takes (n, H, W, 3) uint8 as "pixels".
        pixels: (n, H, W, 3) uint8, the calibration sample.

    Raises:
        RuntimeUnavailableError: if ONNX Runtime's tools can't prepare the graph.
    """

    def __init__(self, graph: bytes, pixels: NDArray[np.uint8]) -> None:
        import onnx

        tools = import_onnxruntime("quantization.shape_inference")
        self._pixels = pixels
        try:
            with quiet(), tempfile.TemporaryDirectory() as scratch:
                path = Path(scratch) / "float.onnx"
                path.write_bytes(graph)
                tools.quant_pre_process(str(path), str(path))
                self._prepared: bytes = path.read_bytes()
        # The tools raise whatever their parts do.
        except Exception as error:
            raise errors.RuntimeUnavailableError(
                f"this network can't be quantised: {error!r:.200}"
            ) from error
        nodes = onnx.load_from_string(self._prepared).graph.node
        self._layers = [node.name for node in nodes if node.op_type in _LAYERS]

    @property
    def layers(self) -> int:
        """How many convolutions and linear layers the network has."""
        return len(self._layers)

    def quantised(self, *, in_float: int = 0, reduce_range: bool = False) -> bytes:
        """Return the network in int8.

        Args:
            in_float: how many of the first layers stay in float32; they lose most.
            reduce_range: 7 bits for the weights: processors that have AVX2 but no VNNI add products in 16 bits, which
                overflow with 8.

        Raises:
            RuntimeUnavailableError: if ONNX Runtime's tools can't do it.
        """
        tools = import_onnxruntime("quantization")
        try:
            with quiet(), tempfile.TemporaryDirectory() as scratch:
                source, target = Path(scratch) / "float.onnx", Path(scratch) / "int8.onnx"
                source.write_bytes(self._prepared)
                tools.quantize_static(
                    str(source),
                    str(target),
                    _calibration(self._pixels),
                    quant_format=tools.QuantFormat.QDQ,
                    activation_type=tools.QuantType.QUInt8,
                    weight_type=tools.QuantType.QInt8,
                    per_channel=True,
                    reduce_range=reduce_range,
                    nodes_to_exclude=self._layers[:in_float],
                    calibrate_method=tools.CalibrationMethod.MinMax,
                )
                return target.read_bytes()
        except Exception as error:
            raise errors.RuntimeUnavailableError(
                f"this network can't be quantised: {error!r:.200}"
            ) from error


def _calibration(pixels: NDArray[np.uint8]) -> Any:
    tools = import_onnxruntime("quantization")

    class Reader(tools.CalibrationDataReader):  # type: ignore[name-defined, misc]  # onnxruntime has no types
        """Hands out the sample, piece by piece."""

        def __init__(self) -> None:
            self._pieces = self._read()

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            """Return the next piece, or None at the end."""
            return next(self._pieces, None)

        def _read(self) -> Iterator[dict[str, NDArray[np.uint8]]]:
            for start in range(0, len(pixels), _PIECE):
                yield {"pixels": pixels[start : start + _PIECE]}

    return Reader()

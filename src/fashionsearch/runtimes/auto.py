"""The runtime that is fastest here, changed for only when the work is worth an export."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fashionsearch import errors
from fashionsearch.device import Placement
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes.base import Runtime
from fashionsearch.runtimes.compiled import CompilingRuntime
from fashionsearch.runtimes.graph import MAX_ERROR, exported, is_exported
from fashionsearch.runtimes.onnx import OnnxRuntime
from fashionsearch.runtimes.openvino import OpenVinoRuntime, openvino_has_bf16
from fashionsearch.runtimes.torch import TorchRuntime

WORTH_AN_EXPORT = 400


class AutoRuntime:
    """Torch for a few images; from a few hundred on, on the CPU, for trained weights, what is faster there.

    That is ONNX Runtime in fp32, and OpenVINO in bf16 where it is installed and the processor has that arithmetic. On CUDA
    torch stays, and is compiled for much work where that is faster.

    An export takes about as long as torch needs for `WORTH_AN_EXPORT` images; one made before is used at once. Each call
    decides for itself, so that a model saved and loaded again runs as it did before.
    """

    def __init__(
        self,
        module: nn.Module,
        preprocess: Preprocess,
        placement: Placement,
        fingerprint: str,
        *,
        trained: bool,
    ) -> None:
        self._module, self._preprocess, self._fingerprint = module, preprocess, fingerprint
        self._precision = placement.precision
        eager = TorchRuntime(module, preprocess, placement)
        compiles = trained and placement.may_compile
        self._current: Runtime = CompilingRuntime(eager, placement.precision) if compiles else eager
        self._may_export = trained and placement.device.type == "cpu" and placement.precision in MAX_ERROR
        self._seen = self._expected = 0

    @property
    def name(self) -> str:
        """The name of the runtime in use at present."""
        return self._current.name

    def expect(self, images: int) -> None:
        """Hear how many images are coming, before the first of them."""
        self._expected, self._seen = images, 0
        self._current.expect(images)

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map (n, H, W, 3) uint8 pixels to (n, dim) float32."""
        self._seen += len(pixels)
        worth_it = max(self._seen, self._expected) >= WORTH_AN_EXPORT
        if self._may_export and (worth_it or is_exported(self._fingerprint)):
            self._may_export = False
            opener = self._opener()
            if opener is None:
                return self._current.run(pixels)
            try:
                self._current = exported(
                    opener, self._module, self._preprocess, self._fingerprint, precision=self._precision
                )
            except errors.RuntimeUnavailableError as error:
                warnings.warn(f"going on with torch: {error}", errors.DataWarning, stacklevel=2)
        return self._current.run(pixels)

    def _opener(self) -> Callable[[bytes], Runtime] | None:
        if self._precision == "fp32":
            return OnnxRuntime
        return functools.partial(OpenVinoRuntime, precision="bf16") if openvino_has_bf16() else None

"""Which runtime runs a network: the one that was asked for, or under "auto" torch, ONNX Runtime or OpenVINO."""

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
from fashionsearch.runtimes.graph import MAX_ERROR, exported, is_exported
from fashionsearch.runtimes.low_precision import LowPrecision
from fashionsearch.runtimes.onnx import OnnxRuntime
from fashionsearch.runtimes.openvino import OpenVinoRuntime, openvino_has_bf16
from fashionsearch.runtimes.torch import TorchRuntime

WORTH_AN_EXPORT = 400
RUNTIMES = ("auto", "torch", "onnx", "openvino")
_PRECISIONS = {"onnx": ("fp32", "int8"), "openvino": ("fp32", "bf16", "int8")}
_OPENERS: dict[str, Callable[[bytes], Runtime]] = {"onnx": OnnxRuntime, "openvino": OpenVinoRuntime}


def check_runtime(name: str, placement: Placement, precision: str) -> None:
    """Raise an error unless a runtime runs on this device in this precision.

    Raises:
        InputError: if `name` is not a runtime's.
        RuntimeUnavailableError: if it doesn't go with the device and precision.
    """
    if name not in RUNTIMES:
        raise errors.InputError(
            f"runtime={name!r} is not one of {', '.join(RUNTIMES)}.{errors.did_you_mean(name, RUNTIMES)}"
        )
    if name in _PRECISIONS and (placement.device.type != "cpu" or precision not in _PRECISIONS[name]):
        raise errors.RuntimeUnavailableError(
            f"runtime={name!r} runs in {' or '.join(_PRECISIONS[name])} on the CPU, and this backbone is in {precision} on "
            f"{placement.device}; use runtime='torch'"
        )
    if precision == "int8" and (name == "torch" or placement.device.type != "cpu"):
        raise errors.RuntimeUnavailableError(
            f"a network in int8 runs in the runtimes onnx and openvino on the CPU, not in {name!r} on {placement.device}; "
            "use runtime='auto' and device='cpu', or precision='fp32'"
        )


def open_runtime(
    name: str,
    module: nn.Module,
    preprocess: Preprocess,
    placement: Placement,
    fingerprint: str,
    *,
    trained: bool,
    lowered: LowPrecision | None = None,
) -> Runtime:
    """Return a runtime that runs a network.

    Args:
        name: one that `check_runtime` lets pass.
        module: the backbone.
        preprocess: its preprocessing.
        placement: its device and precision.
        fingerprint: of weights and preprocessing: the key of the cached graph.
        trained: whether an export may be worth its time under "auto".
        lowered: the network in int8, if that is to run.

    Raises:
        RuntimeUnavailableError: if it can't run the network here.
    """
    if lowered is not None and lowered.graph is not None:
        runtime = _OPENERS["onnx" if name == "auto" else name](lowered.graph)
        lowered.check(runtime, preprocess.image_size)
        return runtime
    if name == "torch":
        return TorchRuntime(module, preprocess, placement)
    if name == "auto":
        return AutoRuntime(module, preprocess, placement, fingerprint, trained=trained)
    opener = _OPENERS[name]
    if name == "openvino":
        opener = functools.partial(OpenVinoRuntime, precision=placement.precision)
    return exported(opener, module, preprocess, fingerprint, precision=placement.precision)


class AutoRuntime:
    """Torch for a few images; from a few hundred on, on the CPU, for trained weights, what is faster there.

    That is ONNX Runtime in fp32, and OpenVINO in bf16 where it is installed and the processor has that arithmetic. On CUDA
    torch stays.

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
        self._current: Runtime = TorchRuntime(module, preprocess, placement)
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
            opener, problem = self._opener(), None
            try:
                if opener is not None:
                    self._current = exported(
                        opener, self._module, self._preprocess, self._fingerprint, precision=self._precision
                    )
            except errors.RuntimeUnavailableError as error:
                problem = error
            self._may_export = False  # not before: an export that was interrupted is tried again
            if problem is not None:
                warnings.warn(f"torch runs it instead: {problem}", errors.DataWarning, stacklevel=2)
        return self._current.run(pixels)

    def _opener(self) -> Callable[[bytes], Runtime] | None:
        if self._precision == "fp32":
            return OnnxRuntime
        return functools.partial(OpenVinoRuntime, precision="bf16") if openvino_has_bf16() else None

"""Which runtime runs a network, and which can't."""

from __future__ import annotations

import functools
from collections.abc import Callable

from torch import nn

from fashionsearch import errors
from fashionsearch.device import Placement
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes.auto import AutoRuntime
from fashionsearch.runtimes.base import Runtime
from fashionsearch.runtimes.graph import exported
from fashionsearch.runtimes.low_precision import Lowered
from fashionsearch.runtimes.onnx import OnnxRuntime
from fashionsearch.runtimes.openvino import OpenVinoRuntime
from fashionsearch.runtimes.torch import TorchRuntime

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
    lowered: Lowered | None = None,
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

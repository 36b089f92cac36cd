"""Where and in which precision a backbone's module runs, and what it returns there."""

from __future__ import annotations

import torch
from torch import nn

from fashionsearch import errors
from fashionsearch.device import Execution, Placement, resolve_placement, torch_defaults
from fashionsearch.runtimes import LowPrecision
from fashionsearch.runtimes.choice import check_runtime


def decide(execution: Execution, lowered: LowPrecision | None) -> tuple[Placement, str, LowPrecision | None]:
    """Return where a module lies, the precision in use, and the lower one that was measured, if it is in use.

    The module beside a graph in int8 stays in float32.

    Raises:
        InputError: if int8 is asked for, and there is no graph.
        DeviceError: if the device or precision isn't there.
        RuntimeUnavailableError: if the runtime doesn't go with the device and precision.
    """
    device, precision = execution.device, execution.precision
    if lowered is not None and precision in ("auto", lowered.precision):
        precision = lowered.precision
    else:
        lowered = None
    if precision == "int8" and lowered is None:
        raise errors.InputError(
            "precision='int8' needs a sample of your photos; use fashionsearch.lower_precision(backbone, 'int8', images)"
        )
    int8 = precision == "int8"
    placement = resolve_placement(
        "cpu" if int8 and device == "auto" else device, "fp32" if int8 else precision
    )
    precision = precision if int8 else placement.precision
    check_runtime(execution.runtime, placement, precision)
    return placement, precision, lowered


def measured_dim(module: nn.Module, name: str, image_size: tuple[int, int], device: torch.device) -> int:
    """Return the length of an embedding, by a forward pass.

    Raises:
        InputError: if the module fails, or its output isn't (n, dim).
    """
    try:
        with torch_defaults(), torch.inference_mode():
            pixels = torch.zeros((2, 3, *image_size), device=device)
            output = module(pixels)
    # A network may raise anything.
    except Exception as error:
        raise errors.InputError(
            f"backbone {name!r} fails on a batch of shape {(2, 3, *image_size)}: "
            f"{str(error) or repr(error)}; it may need another image_size"
        ) from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != 2 or not output.shape[1]:
        got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise errors.InputError(
            f"backbone {name!r} must map (n, 3, H, W) to (n, dim), and maps (2, 3, H, W) to {got}; "
            "end it with pooling and nn.Flatten()"
        )
    return int(output.shape[1])

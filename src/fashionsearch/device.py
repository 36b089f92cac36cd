"""How a network runs here, its device and precision above all: the only file that names CUDA.

Nothing here was run on a GPU: the project's tests inject a fake. What is decided is decided once per object.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, Protocol

from fashionsearch import errors

if TYPE_CHECKING:
    import torch

CPU_BATCH_SIZE = 32
PRECISIONS = ("fp32", "bf16", "fp16")
_DTYPES = {"bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True)
class Execution:
    """How a network is to be run: the five options that every public signature has, handed on as one value.

    Attributes:
        device: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" (float32 on the CPU), "fp32", "bf16" or "fp16".
        runtime: "auto", "torch", "onnx" or "openvino".
        batch_size: images a forward pass; None is chosen from the device.
        progress: show a bar once work takes over two seconds.

    Raises:
        InputError: if the batch size can't be used.
    """

    device: str = "auto"
    precision: str = "auto"
    runtime: str = "auto"
    batch_size: int | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        size = self.batch_size
        if size is not None and (not isinstance(size, Integral) or isinstance(size, bool) or size < 1):
            raise errors.InputError(f"batch_size={size!r} is not a whole number from 1 up, or None")


class Machine(Protocol):
    """What this machine has; tests pass a fake."""

    def cuda_count(self) -> int:
        """Return the number of CUDA devices."""
        ...

    def has_mps(self) -> bool:
        """Return whether Apple's Metal backend is there."""
        ...


class ThisMachine:
    """The machine the program runs on, as torch sees it."""

    def cuda_count(self) -> int:
        """Return the number of CUDA devices."""
        import torch

        return torch.cuda.device_count() if torch.cuda.is_available() else 0

    def has_mps(self) -> bool:
        """Return whether Apple's Metal backend is there."""
        import torch

        return torch.backends.mps.is_available()


def may_have_accelerator() -> bool:
    """Return whether this machine may have a GPU that torch can use, without importing torch."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        return shutil.which("nvidia-smi") is not None
    return any(os.path.exists(path) for path in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))  # noqa: PTH110


@dataclass(frozen=True)
class Placement:
    """A device and a precision, decided.

    Attributes:
        device: where the network's weights and inputs lie.
        precision: "fp32", "bf16" or "fp16"; weights stay float32 and autocast lowers the arithmetic.
    """

    device: torch.device
    precision: str

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which a forward pass has this precision."""
        if self.precision == "fp32":
            return nullcontext()
        import torch

        return torch.autocast(self.device.type, dtype=getattr(torch, _DTYPES[self.precision]))

    def fork_rng(self) -> AbstractContextManager[None]:
        """Return a context after which torch's generators, also this device's, are as they were before it."""
        import torch

        devices = [self.device.index or 0] if self.device.type == "cuda" else []
        return torch.random.fork_rng(devices=devices)

    @property
    def batch_size(self) -> int:
        """How many images a batch holds where the caller doesn't say."""
        return 128 if self.device.type == "cuda" else CPU_BATCH_SIZE


def resolve_placement(
    device: str = "auto", precision: str = "auto", *, machine: Machine | None = None
) -> Placement:
    """Decide on a device and a precision.

    Args:
        device: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" (float32 on CPU and MPS; on CUDA bf16 where it is native, else fp16), "fp32", "bf16", "fp16".
        machine: what to ask for devices; a fake in tests.

    Raises:
        DeviceError: if the device isn't there (the message says what is) or a name isn't known.

    Examples:
        >>> resolve_placement("cpu").precision
        'fp32'
    """
    import torch

    machine = machine or ThisMachine()
    present = [
        "cpu",
        *(f"cuda:{i}" for i in range(machine.cuda_count())),
        *(["mps"] if machine.has_mps() else []),
    ]
    if device == "auto":
        chosen = next((name for name in ("cuda:0", "mps") if name in present), "cpu")
    else:
        chosen = "cuda:0" if device == "cuda" else device
    if chosen not in present:
        raise errors.DeviceError(
            f"device={device!r} is not on this machine, which has {', '.join(present)}; "
            f"use one of these, or device='auto'.{errors.did_you_mean(device, ['auto', *present])}"
        )
    if precision != "auto" and precision not in PRECISIONS:
        raise errors.DeviceError(
            f"precision={precision!r} is not one of auto, {', '.join(PRECISIONS)}."
            + errors.did_you_mean(precision, ["auto", *PRECISIONS])
        )
    if precision == "auto":
        precision = _fastest_safe(chosen)
    return Placement(torch.device(chosen), precision)


def _fastest_safe(device: str) -> str:
    if not device.startswith("cuda"):
        return "fp32"
    import torch

    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the device, not the program, ran out.

    The CPU allocator and MPS raise plain RuntimeErrors, so their messages are all there is to go by.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "not enough memory" in text or "can't allocate memory" in text
    )


_lock = threading.Lock()
_inside = 0
_hosts: tuple[torch.dtype, str | None] | None = None
_forked = False
_forks = 0


def forks() -> int:
    """Return how many forks lie between this process and the first: what was opened at another number is not ours."""
    return _forks


def _renew_in_child() -> None:
    global _lock, _forked, _forks
    _lock = threading.Lock()
    _forks += 1
    _forked = "torch" in sys.modules


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_in_child)


@contextlib.contextmanager
def torch_defaults() -> Iterator[None]:
    """Give the block torch as a fresh process has it, and the program around it its own settings back.

    That is: no inference mode, gradients on, no autocast, float32 as the default type, in full precision, on the CPU. The
    default type and the precision belong to the whole process: other threads see them changed while the block lasts,
    only if they were set to something else. The rest belongs to the thread.

    In a process that was forked after torch had been used, torch is given one thread: its others stayed in the parent,
    and it would wait for them for ever.
    """
    import torch

    global _forked
    if _forked:
        _forked = False
        torch.set_num_threads(1)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_process_wide_defaults())
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


@contextlib.contextmanager
def _process_wide_defaults() -> Iterator[None]:
    """Set what all threads share, from the first block that is entered to the last that is left."""
    import torch

    global _inside, _hosts
    with _lock:
        if not _inside:
            _hosts = torch.get_default_dtype(), _matmul_precision()
        _inside += 1
        _set_process_wide(torch.float32, "highest")
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and _hosts is not None:
                _set_process_wide(*_hosts)


def _matmul_precision() -> str | None:
    """Return the precision of matrix products, or None where it was set for each backend apart, and is left alone."""
    import torch

    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _set_process_wide(dtype: torch.dtype, matmul: str | None) -> None:
    import torch

    if torch.get_default_dtype() != dtype:
        torch.set_default_dtype(dtype)
    if matmul is not None and _matmul_precision() not in (None, matmul):
        torch.set_float32_matmul_precision(matmul)

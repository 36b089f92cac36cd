"""Where a network runs and in which precision: the only file that names CUDA.

Nothing here was run on a GPU: the project's tests inject a fake. What is decided is decided once per object.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from fashionsearch import errors

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
        return torch.cuda.device_count() if torch.cuda.is_available() else 0

    def has_mps(self) -> bool:
        """Return whether Apple's Metal backend is there."""
        return torch.backends.mps.is_available()


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
        return torch.autocast(self.device.type, dtype=PRECISIONS[self.precision])

    def trainer_arguments(self, devices: int = 1, *, machine: Machine | None = None) -> dict[str, Any]:
        """Return how Lightning's Trainer names this device, or this many of its kind, and the precision.

        Raises:
            DeviceError: if there are not so many, or the CPU is to train in fp16.
        """
        machine = machine or ThisMachine()
        kind = self.device.type
        there = {"cuda": machine.cuda_count(), "mps": 1}.get(kind, devices)
        if devices > there or (devices > 1 and self.device.index):
            raise errors.DeviceError(
                f"devices={devices} with device={str(self.device)!r} needs {devices} of its kind, counted from 0, and this "
                f"machine has {there}; use fewer, or device={kind!r}"
            )
        if kind == "cpu" and self.precision == "fp16":
            raise errors.DeviceError("the CPU can't train in fp16; use precision='fp32' or 'bf16'")
        chosen = [self.device.index or 0] if devices == 1 and self.device.type != "cpu" else devices
        precision = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[self.precision]
        return {"accelerator": self.device.type, "devices": chosen, "precision": precision}

    def own_randomness(self) -> AbstractContextManager[None]:
        """Return a context in which torch's generators, also this device's, can be seeded without anyone noticing."""
        devices = [self.device.index or 0] if self.device.type == "cuda" else []
        return torch.random.fork_rng(devices=devices)

    @property
    def may_compile(self) -> bool:
        """Whether torch.compile may pay; on the CPU other runtimes are faster."""
        return self.device.type == "cuda"

    @property
    def batch_size(self) -> int:
        """How many images a batch holds where the caller doesn't say."""
        return 128 if self.device.type == "cuda" else 32


def place(device: str = "auto", precision: str = "auto", *, machine: Machine | None = None) -> Placement:
    """Decide on a device and a precision.

    Args:
        device: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" (float32 on CPU and MPS; on CUDA bf16 where it is native, else fp16), "fp32", "bf16", "fp16".
        machine: what to ask for devices; a fake in tests.

    Raises:
        DeviceError: if the device isn't there (the message says what is) or a name isn't known.

    Examples:
        >>> place("cpu").precision
        'fp32'
    """
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
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the device, not the program, ran out.

    The CPU allocator and MPS raise plain RuntimeErrors, so their messages are all there is to go by.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "not enough memory" in text or "can't allocate memory" in text
    )

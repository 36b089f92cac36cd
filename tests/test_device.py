"""Devices and precisions are decided from what a machine has; the machines here are fakes."""

from dataclasses import dataclass

import pytest
import torch

from fashionsearch import errors
from fashionsearch.device import ThisMachine, is_out_of_memory, place


@dataclass
class Machine:
    cuda: int = 0
    mps: bool = False

    def cuda_count(self):
        return self.cuda

    def has_mps(self):
        return self.mps


@pytest.mark.parametrize(
    ("device", "machine", "expected"),
    [
        ("auto", Machine(2, True), "cuda:0"),
        ("auto", Machine(0, True), "mps"),
        ("auto", Machine(), "cpu"),
        ("cuda", Machine(1), "cuda:0"),
        ("cuda:1", Machine(2), "cuda:1"),
        ("mps", Machine(1, True), "mps"),
        ("cpu", Machine(2, True), "cpu"),
    ],
)
def test_where(device, machine, expected):
    assert place(device, machine=machine).device == torch.device(expected)


@pytest.mark.parametrize("device", ["cuda", "cuda:2", "mps", "gpu", "CUDA", "cuda:-1", "", None, 0])
def test_missing_devices_name_what_is_there(device):
    machine = Machine(2 if device != "cuda" else 0)
    present = "cpu, cuda:0, cuda:1;" if device != "cuda" else "cpu;"
    with pytest.raises(errors.DeviceError) as caught:
        place(device, machine=machine)
    assert str(caught.value).startswith(f"device={device!r} is not on this machine, which has {present}")
    assert f"Did you mean {device!r}?" not in str(caught.value)


def test_did_you_mean():
    with pytest.raises(errors.DeviceError, match="Did you mean 'cuda:1'"):
        place("cuda1", machine=Machine(2))


def test_precisions():
    assert place("cpu").precision == place("mps", machine=Machine(mps=True)).precision == "fp32"
    for precision in ("fp32", "bf16", "fp16"):
        assert place("cpu", precision).precision == precision
    for wrong in ("half", "float32", None, 16):
        with pytest.raises(errors.DeviceError, match="is not one of auto, fp32, bf16, fp16"):
            place("cpu", wrong)


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp16")])
def test_cuda_takes_bf16_where_it_is_native(native, expected, monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation
    )
    assert place("auto", machine=Machine(1)).precision == expected
    assert place("auto", "fp32", machine=Machine(1)).precision == "fp32"


def test_autocast_lowers_the_arithmetic():
    weights, inputs = torch.randn(3, 3), torch.randn(1, 3)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with place("cpu", precision).autocast():
            assert (inputs @ weights).dtype == dtype


def test_batches_are_larger_on_a_gpu():
    assert place("cuda", "fp32", machine=Machine(1)).batch_size > place("cpu").batch_size


def test_this_machine_can_be_asked():
    assert ThisMachine().cuda_count() >= 0
    assert isinstance(ThisMachine().has_mps(), bool)
    assert place().device.type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 18 GB)"), True),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"
            ),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_out_of_memory(error, expected):
    assert is_out_of_memory(error) is expected


def test_the_real_message_of_the_cpu_allocator():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)

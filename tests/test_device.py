"""Devices and precisions are decided from what a machine has; the machines here are fakes."""

import contextlib
import threading
from dataclasses import dataclass

import pytest
import torch

from fashionsearch import errors
from fashionsearch.device import Execution, ThisMachine, is_out_of_memory, resolve_placement, torch_defaults


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
    assert resolve_placement(device, machine=machine).device == torch.device(expected)


@pytest.mark.parametrize("device", ["cuda", "cuda:2", "mps", "gpu", "CUDA", "cuda:-1", "", None, 0])
def test_missing_devices_name_what_is_there(device):
    machine = Machine(2 if device != "cuda" else 0)
    present = "cpu, cuda:0, cuda:1;" if device != "cuda" else "cpu;"
    with pytest.raises(errors.DeviceError) as caught:
        resolve_placement(device, machine=machine)
    assert str(caught.value).startswith(f"device={device!r} is not on this machine, which has {present}")
    assert f"Did you mean {device!r}?" not in str(caught.value)


def test_did_you_mean():
    with pytest.raises(errors.DeviceError, match="Did you mean 'cuda:1'"):
        resolve_placement("cuda1", machine=Machine(2))


def test_precisions():
    assert (
        resolve_placement("cpu").precision
        == resolve_placement("mps", machine=Machine(mps=True)).precision
        == "fp32"
    )
    for precision in ("fp32", "bf16", "fp16"):
        assert resolve_placement("cpu", precision).precision == precision
    for wrong in ("half", "float32", None, 16):
        with pytest.raises(errors.DeviceError, match="is not one of auto, fp32, bf16, fp16"):
            resolve_placement("cpu", wrong)


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp16")])
def test_cuda_takes_bf16_where_it_is_native(native, expected, monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation
    )
    assert resolve_placement("auto", machine=Machine(1)).precision == expected
    assert resolve_placement("auto", "fp32", machine=Machine(1)).precision == "fp32"


def test_autocast_lowers_the_arithmetic():
    weights, inputs = torch.randn(3, 3), torch.randn(1, 3)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with resolve_placement("cpu", precision).autocast():
            assert (inputs @ weights).dtype == dtype


def test_batches_are_larger_on_a_gpu():
    assert (
        resolve_placement("cuda", "fp32", machine=Machine(1)).batch_size > resolve_placement("cpu").batch_size
    )


def test_this_machine_can_be_asked():
    assert ThisMachine().cuda_count() >= 0
    assert isinstance(ThisMachine().has_mps(), bool)
    assert resolve_placement().device.type in ("cpu", "cuda", "mps")


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


HOSTS = {
    "the default type": lambda stack: (
        stack.callback(torch.set_default_dtype, torch.get_default_dtype()),
        torch.set_default_dtype(torch.float64),
    ),
    "half precision as the default": lambda stack: (
        stack.callback(torch.set_default_dtype, torch.get_default_dtype()),
        torch.set_default_dtype(torch.bfloat16),
    ),
    "products in lower precision": lambda stack: (
        stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision()),
        torch.set_float32_matmul_precision("medium"),
    ),
    "inference mode": lambda stack: stack.enter_context(torch.inference_mode()),
    "no gradients": lambda stack: stack.enter_context(torch.no_grad()),
    "autocast": lambda stack: stack.enter_context(torch.autocast("cpu", dtype=torch.bfloat16)),
    "another device": lambda stack: stack.enter_context(torch.device("meta")),
}


def state():
    return (
        torch.get_default_dtype(),
        torch.get_float32_matmul_precision(),
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_default_device().type,
    )


@pytest.mark.parametrize("host", HOSTS)
def test_torch_is_as_in_a_fresh_process_and_then_as_the_host_had_it(host):
    fresh = state()
    with contextlib.ExitStack() as stack:
        HOSTS[host](stack)
        before = state()
        assert before != fresh
        with contextlib.suppress(ZeroDivisionError), torch_defaults():
            assert state() == fresh
            with torch_defaults():
                assert state() == fresh
            assert state() == fresh
            1 / 0  # noqa: B018
        assert state() == before
    assert state() == fresh


def test_the_host_gets_its_default_type_back_after_the_last_thread():
    inside, leave = threading.Event(), threading.Event()

    def other():
        with torch_defaults():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    torch.set_default_dtype(torch.float64)
    try:
        with torch_defaults():
            thread.start()
            assert inside.wait(10)
        assert torch.get_default_dtype() == torch.float32
        leave.set()
        thread.join()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_an_execution_refuses_a_batch_size_that_is_none():
    assert Execution().batch_size is None
    for wrong in (0, -1, 1.5, "8", True):
        with pytest.raises(errors.InputError, match="is not a whole number from 1 up, or None"):
            Execution(batch_size=wrong)

"""torch.compile, as on a GPU: for much work, for full batches, where it is faster and agrees. The compilers are fakes."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import fashionsearch as fs
from fashionsearch import device, errors
from fashionsearch.runtimes import AutoRuntime, TorchRuntime, compiled
from fashionsearch.runtimes.compiled import WORTH_COMPILING, CompilingRuntime

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)


CLOCK = SimpleNamespace(now=0.0)


@pytest.fixture(autouse=True)
def _fake_clock(monkeypatch):
    monkeypatch.setattr(compiled, "time", SimpleNamespace(perf_counter=lambda: CLOCK.now))


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


class Torch(TorchRuntime):
    """An eager runtime that takes ten milliseconds, and compiles to another."""

    def __init__(self, compile_to):
        super().__init__(network(), fs.Preprocess((16, 16)), device.resolve_placement("cpu"))
        self.compile_to, self.calls = compile_to, 0

    def run(self, pixels):
        self.calls += 1
        CLOCK.now += 0.01
        return super().run(pixels)

    def compiled(self, compiler=None):
        if isinstance(self.compile_to, Exception):
            raise self.compile_to
        return self.compile_to


class Compiled:
    """What a compiler made: its seconds a batch, and how far off it is."""

    def __init__(self, seconds, off=0.0):
        self.seconds, self.off, self.calls = seconds, off, 0
        self.eager = TorchRuntime(network(), fs.Preprocess((16, 16)), device.resolve_placement("cpu"))

    def run(self, pixels):
        self.calls += 1
        CLOCK.now += self.seconds
        return self.eager.run(pixels) * (1 + self.off)


def after_much_work(compile_to, precision="fp32"):
    eager = Torch(compile_to)
    runtime = CompilingRuntime(eager, precision)
    runtime.expect(WORTH_COMPILING)
    wanted = TorchRuntime.run(eager, PIXELS)
    for _ in range(2):
        np.testing.assert_allclose(runtime.run(PIXELS), wanted, rtol=0.06)
    eager.calls = 0
    return runtime, eager


def test_a_faster_one_runs_full_batches():
    made = Compiled(seconds=0.0)
    runtime, eager = after_much_work(made)
    before = made.calls
    runtime.run(PIXELS)
    assert (made.calls - before, eager.calls) == (1, 0)
    runtime.run(PIXELS[:3])  # a last batch that isn't full would be compiled for again
    assert (made.calls - before, eager.calls) == (1, 1)


def test_one_that_saves_no_tenth_is_left():
    made = Compiled(seconds=0.0098)
    runtime, eager = after_much_work(made)
    before = made.calls
    runtime.run(PIXELS)
    assert (made.calls, eager.calls) == (before, 1)


@pytest.mark.parametrize(
    ("compile_to", "message"),
    [
        (RuntimeError("no C compiler\nand much more"), "going on without torch.compile: no C compiler$"),
        (ValueError(), "going on without torch.compile: ValueError$"),
        (Compiled(0.0, off=0.01), "disagrees with the eager one: relative error 0.01, at most 0.001"),
        (Compiled(0.0, off=np.nan), "disagrees with the eager one: relative error nan"),
    ],
)
def test_what_goes_wrong_is_said_once(compile_to, message):
    eager = Torch(compile_to)
    runtime = CompilingRuntime(eager, "fp32")
    runtime.expect(WORTH_COMPILING)
    runtime.run(PIXELS)
    with pytest.warns(errors.DataWarning, match=message):
        found = runtime.run(PIXELS)
    np.testing.assert_array_equal(found, TorchRuntime.run(eager, PIXELS))
    runtime.run(PIXELS)


def test_lower_precision_may_differ_more():
    runtime, eager = after_much_work(Compiled(0.0, off=0.01), precision="bf16")
    runtime.run(PIXELS)
    assert eager.calls == 0


def test_little_work_compiles_nothing():
    eager = Torch(AssertionError("it was compiled"))
    runtime = CompilingRuntime(eager, "fp32")
    runtime.expect(WORTH_COMPILING - 1)
    for _ in range(10):
        runtime.run(PIXELS)
    assert eager.calls == 10


def test_work_of_unknown_length_is_counted(monkeypatch):
    monkeypatch.setattr(compiled, "WORTH_COMPILING", 10)
    made = Compiled(0.0)
    runtime = CompilingRuntime(Torch(made), "fp32")
    runtime.expect(0)
    for _ in range(2):
        runtime.run(PIXELS)
    assert made.calls == 0
    runtime.run(PIXELS)
    assert made.calls > 0


def test_it_is_not_compiled_for_a_batch_that_is_not_full():
    made = Compiled(0.0)
    runtime = CompilingRuntime(Torch(made), "fp32")
    runtime.expect(WORTH_COMPILING)
    runtime.run(PIXELS[:3])  # the rest came from the cache
    runtime.expect(WORTH_COMPILING)
    for _ in range(2):
        assert made.calls == 0
        runtime.run(PIXELS)
    assert made.calls > 0
    before = made.calls
    runtime.run(PIXELS)
    assert made.calls == before + 1


def test_torch_compile_takes_the_network():
    eager = TorchRuntime(network(), fs.Preprocess((16, 16)), device.resolve_placement("cpu"))
    twin = eager.compiled(functools.partial(torch.compile, backend="eager"))
    np.testing.assert_allclose(twin.run(PIXELS), eager.run(PIXELS), rtol=1e-5)


@pytest.mark.parametrize(("may", "trained"), [(True, True), (True, False), (False, True)])
def test_auto_compiles_trained_networks_on_gpus(may, trained, monkeypatch):
    monkeypatch.setattr(device.Placement, "may_compile", property(lambda _: may))
    asked = []
    monkeypatch.setattr(CompilingRuntime, "expect", lambda _, images: asked.append(images))
    runtime = AutoRuntime(
        network(), fs.Preprocess((16, 16)), device.resolve_placement("cpu"), "f" * 64, trained=trained
    )
    runtime.expect(7)
    assert asked == ([7] if may and trained else [])
    assert runtime.name == "torch"


def test_only_cuda_compiles():
    assert not device.resolve_placement("cpu").may_compile
    assert device.Placement(torch.device("cuda", 0), "bf16").may_compile

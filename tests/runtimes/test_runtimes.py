"""Runtimes: torch and ONNX Runtime give the same embeddings, and an export is made when it pays and kept well."""

import ast
import hashlib
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import fashionsearch as fs
from fashionsearch import device, errors, storage
from fashionsearch.cache import cache_folder
from fashionsearch.runtimes import choice, graph
from fashionsearch.runtimes.choice import AutoRuntime
from fashionsearch.runtimes.network import Network
from fashionsearch.runtimes.onnx import SPIN, THREADS, OnnxRuntime, import_onnxruntime
from fashionsearch.runtimes.torch import TorchRuntime

PREPROCESS = fs.Preprocess((16, 16))
CPU = device.resolve_placement("cpu")


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def exports(monkeypatch):
    """Count the exports."""
    made = []
    export = graph.export

    def counted(module, preprocess):
        made.append(preprocess)
        return export(module, preprocess)

    monkeypatch.setattr(graph, "export", counted)
    return made


@pytest.fixture(scope="module")
def tiny_graph():
    """Export one small network, once."""
    return graph.export(tiny(), PREPROCESS)


@pytest.fixture
def quick_exports(monkeypatch, tiny_graph):
    """Count the exports, and make each the same small graph at once."""
    made = []

    def instant(module, preprocess):
        made.append(preprocess)
        return tiny_graph

    monkeypatch.setattr(graph, "export", instant)
    return made


def tiny(factor=1.0):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module = torch.nn.Sequential(
            torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
        )
    with torch.no_grad():
        module[0].weight.mul_(factor)
        module[0].bias.mul_(factor)
    return module.eval()


def pixels(n, side=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def backbone(**options):
    return fs.Backbone(tiny(), PREPROCESS, **{"origin": "test", "progress": False, **options})


def off_by(got, expected):
    return float((np.linalg.norm(got - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())


def kept_exports():
    return sorted((cache_folder() / "onnx").glob("*/generation-*/model.onnx"))


# Parity.


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
@pytest.mark.parametrize(
    ("name", "weights", "side"), [("efficientnet_lite0", "default", 64), ("cnn", None, 32)]
)
def test_other_runtimes_give_what_torch_gives(name, weights, side, runtime, shared_cache):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    options = {"weights": weights, "image_size": side, "random_state": 0, "progress": False}
    eager = fs.create_backbone(name, runtime="torch", **options)
    exported = fs.create_backbone(name, runtime=runtime, batch_size=3, **options)
    photos = [*pixels(5, side), np.zeros((9, 9, 3), np.uint8), np.full((9, 9, 3), 255, np.uint8)]
    expected, got = eager.embed(photos), exported.embed(photos)  # in batches of 3, 3 and 1
    assert got.dtype == np.float32
    assert off_by(got, expected) < 1e-4
    assert off_by(exported.embed(photos[:2]), expected[:2]) < 1e-4
    assert off_by(got, expected) < 1e-4, "a later batch overwrote an earlier one"
    assert (eager.runtime, exported.runtime) == ("torch", runtime)
    assert eager.fingerprint == exported.fingerprint


def test_a_runtime_that_is_not_installed_says_what_to_do(monkeypatch, quick_exports):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(errors.RuntimeUnavailableError, match="pip install openvino; or use runtime='onnx'"):
        backbone(runtime="openvino").embed(pixels(1))


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_runtimes_share_one_kept_export(runtime, exports):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    backbone(runtime="onnx").embed(pixels(1))
    backbone(runtime=runtime).embed(pixels(1))
    assert len(exports) == len(kept_exports()) == 1


def test_normalisation_is_part_of_the_network():
    preprocess = fs.Preprocess((2, 2), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    got = Network(torch.nn.Flatten(), preprocess)(
        torch.tensor([[[[51, 102, 153]] * 2] * 2], dtype=torch.uint8)
    )
    expected = [(0.2 - 0.1) / 0.5] * 4 + [(0.4 - 0.2) / 0.25] * 4 + [(0.6 - 0.3) / 2.0] * 4
    np.testing.assert_allclose(got.numpy(), [expected], rtol=1e-6)


def test_a_network_left_in_training_mode_is_run_in_evaluation_mode():
    module = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.Dropout(0.9), torch.nn.Flatten())
    runtime = TorchRuntime(module, PREPROCESS, CPU)
    expected = runtime.run(pixels(4))
    module.train()
    assert np.array_equal(runtime.run(pixels(4)), expected)
    assert module[0].num_batches_tracked == 0


# When "auto" exports.


def test_auto_stays_with_torch_for_few_images(monkeypatch, quick_exports):
    monkeypatch.setattr(choice, "WORTH_AN_EXPORT", 10)
    model = backbone(runtime="auto")
    assert model.runtime == "torch"
    model.embed(list(pixels(4)))
    model.embed(list(pixels(5)))
    assert (model.runtime, quick_exports) == ("torch", [])


def test_auto_decides_for_each_call(monkeypatch, quick_exports):
    monkeypatch.setattr(choice, "WORTH_AN_EXPORT", 10)
    model = backbone(runtime="auto", batch_size=4)
    first = model.embed(list(pixels(9)))
    for _ in range(3):
        assert off_by(model.embed(iter(pixels(9))), first) < 1e-6
    assert (model.runtime, quick_exports) == ("torch", [])
    again = model.embed(list(pixels(10)))
    assert model.runtime == "onnx"
    assert off_by(again[:9], model.embed(list(pixels(10)))[:9]) == 0
    assert off_by(again[:9], backbone(runtime="torch").embed(list(pixels(10)))[:9]) < 1e-4
    assert len(quick_exports) == 1


@pytest.mark.parametrize("known", [True, False])
def test_auto_changes_in_the_middle_of_one_call(known, monkeypatch, quick_exports):
    """A list says how many are coming; a generator is found to be long on the way."""
    monkeypatch.setattr(choice, "WORTH_AN_EXPORT", 10)
    model = backbone(runtime="auto", batch_size=4)
    photos = list(pixels(14))
    names = []
    run = model._open()[1].run
    monkeypatch.setattr(model._open()[1], "run", lambda batch: (run(batch), names.append(model.runtime))[0])
    got = model.embed(photos if known else iter(photos))
    assert names == (["onnx"] * 4 if known else ["torch", "torch", "onnx", "onnx"])
    assert off_by(got, backbone(runtime="torch").embed(photos)) < 1e-4


def test_auto_exports_again_where_that_was_interrupted_but_not_where_it_can_t(monkeypatch, quick_exports):
    monkeypatch.setattr(choice, "WORTH_AN_EXPORT", 1)
    export = choice.exported

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    def impossible(*_, **__):
        raise errors.RuntimeUnavailableError("no such operator")

    model = backbone(runtime="auto")
    monkeypatch.setattr(choice, "exported", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.embed(list(pixels(3)))
    monkeypatch.setattr(choice, "exported", export)
    model.embed(list(pixels(3)))
    assert model.runtime == "onnx"

    model = backbone(runtime="auto")
    monkeypatch.setattr(choice, "exported", impossible)
    with pytest.warns(errors.DataWarning, match="torch runs it instead: no such operator"):
        model.embed(list(pixels(3)))
    model.embed(list(pixels(3)))  # without a second warning
    assert model.runtime == "torch"


def test_auto_never_exports_where_it_gains_nothing(monkeypatch, quick_exports):
    monkeypatch.setattr(choice, "WORTH_AN_EXPORT", 1)
    monkeypatch.setattr(choice, "openvino_has_bf16", lambda: False)
    for options in ({"origin": None}, {"precision": "bf16"}):
        model = backbone(runtime="auto", **options)
        model.embed(list(pixels(3)))
        assert (model.runtime, quick_exports) == ("torch", [])
    elsewhere = device.Placement(torch.device("meta"), "fp32")
    assert not AutoRuntime(tiny(), PREPROCESS, elsewhere, "key", trained=True)._may_export


def test_auto_in_bf16_is_openvino_where_the_processor_has_it(monkeypatch):
    if not choice.openvino_has_bf16():
        pytest.skip("no OpenVINO, or no arithmetic in bf16")
    monkeypatch.setattr(choice, "WORTH_AN_EXPORT", 3)
    model = backbone(runtime="auto", precision="bf16")
    expected = backbone(runtime="torch").embed(list(pixels(3)))
    assert off_by(model.embed(list(pixels(3))), expected) < 0.1
    assert model.runtime == "openvino"


def test_the_threshold_is_a_few_hundred():
    assert 100 <= choice.WORTH_AN_EXPORT <= 1000


# The kept export.


def test_a_kept_export_is_used_by_the_next_object_at_once(exports):
    expected = backbone(runtime="onnx").embed(list(pixels(3)))
    assert len(exports) == len(kept_exports()) == 1
    for runtime in ("onnx", "auto"):  # "auto" even for one image: it costs nothing
        model = backbone(runtime=runtime)
        assert np.array_equal(model.embed(pixels(3)[0]), expected[:1])
        assert model.runtime == "onnx"
    assert len(exports) == 1


def other_layers():
    module = tiny()
    module[2] = torch.nn.AdaptiveMaxPool2d(2)
    return module


def test_other_weights_layers_sizes_and_preprocessing_are_other_exports():
    models = [
        backbone(),
        fs.Backbone(tiny(2.0), PREPROCESS),
        fs.Backbone(other_layers(), PREPROCESS),
        fs.Backbone(tiny(), fs.Preprocess((16, 16), std=(1, 1, 1))),
        fs.Backbone(tiny(), fs.Preprocess((17, 16))),
    ]
    folders = {graph._export_folder(model._cache_salt) for model in models}
    assert len(folders) == len(models)
    assert graph._export_folder(backbone()._cache_salt) in folders


def test_networks_that_differ_in_layers_alone_do_not_share_an_export(exports):
    for module in (tiny(), other_layers()):
        got = fs.Backbone(module, PREPROCESS, runtime="onnx").embed(list(pixels(2)))
        assert off_by(got, fs.Backbone(module, PREPROCESS, runtime="torch").embed(list(pixels(2)))) < 1e-4
    assert len(exports) == len(kept_exports()) == 2


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "manifest", "manifest gone"])
def test_a_damaged_export_is_made_again_and_kept(damage, quick_exports):
    expected = backbone(runtime="onnx").embed(list(pixels(3)))
    (file,) = kept_exports()
    manifest = file.parents[1] / storage.MANIFEST
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    elif damage == "gone":
        file.unlink()
    elif damage == "manifest":
        manifest.write_text("{")
    else:
        manifest.unlink()
    for exports_by_now in (2, 2):
        assert np.array_equal(backbone(runtime="onnx").embed(list(pixels(3))), expected)
        assert len(quick_exports) == exports_by_now
    assert hashlib.sha256(kept_exports()[-1].read_bytes()).hexdigest() in manifest.read_text()


def test_a_folder_that_cannot_be_written_only_costs_time(monkeypatch, tmp_path, quick_exports):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FASHIONSEARCH_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        assert backbone(runtime="onnx").embed(list(pixels(3))).shape == (3, 24)
    assert len(quick_exports) == 2


def test_caching_can_be_off(monkeypatch, tmp_path, quick_exports):
    monkeypatch.setenv("FASHIONSEARCH_CACHE", "off")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert backbone(runtime="onnx").embed(list(pixels(3))).shape == (3, 24)
    assert len(quick_exports) == 2
    assert list(tmp_path.iterdir()) == []


# Exports that are refused.


@pytest.mark.parametrize("factor", [1.01, 2.0, -1.0, 0.0])
def test_an_export_that_disagrees_is_refused_with_the_figure(factor, monkeypatch):
    """Also one whose vectors point the same way: a head on top would notice."""
    other = graph.export(tiny(factor), PREPROCESS)
    monkeypatch.setattr(graph, "export", lambda *_: other)
    with pytest.raises(
        errors.RuntimeUnavailableError,
        match=r"disagrees with torch: relative error [\d.]+ in 'onnx', at most",
    ):
        backbone(runtime="onnx").embed(list(pixels(3)))
    assert not kept_exports()


def test_an_export_of_another_shape_is_refused(monkeypatch):
    other = graph.export(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()), PREPROCESS)
    monkeypatch.setattr(graph, "export", lambda *_: other)
    with pytest.raises(
        errors.RuntimeUnavailableError,
        match=r"returns shape \(3, 3\) in 'onnx' where torch returns \(3, 24\)",
    ):
        backbone(runtime="onnx").embed(list(pixels(3)))


def test_an_export_that_does_not_run_is_refused(monkeypatch, tiny_graph):
    monkeypatch.setattr(graph, "export", lambda *_: tiny_graph)
    with pytest.raises(errors.RuntimeUnavailableError, match="can't run the exported network"):
        fs.Backbone(tiny(), fs.Preprocess((20, 20)), runtime="onnx").embed(pixels(1))
    monkeypatch.setattr(graph, "export", lambda *_: b"no graph")
    with pytest.raises(errors.RuntimeUnavailableError, match="can't open the exported network"):
        backbone(runtime="onnx").embed(pixels(1))


def test_a_network_that_gives_zeros_is_no_disagreement():
    silent = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Threshold(99, 0))
    assert not fs.Backbone(silent, PREPROCESS, runtime="onnx").embed(pixels(1)).any()


class Branching(torch.nn.Module):
    """A network whose graph depends on what is in the photo."""

    def forward(self, images):
        flat = images.flatten(1)
        return flat * 2 if flat.sum() > 0 else flat


def test_a_network_that_cannot_be_exported(monkeypatch, capfd):
    exporting = fs.Backbone(Branching(), PREPROCESS, runtime="onnx", origin="test")
    with pytest.raises(errors.RuntimeUnavailableError, match="can't be exported to ONNX") as caught:
        exporting.embed(pixels(1))
    message = str(caught.value)
    assert "data-dependent" in message, "the reason, not the exporter's advice"
    assert "\x1b" not in message
    assert message.endswith("use runtime='torch'")
    monkeypatch.setattr(choice, "WORTH_AN_EXPORT", 2)
    going_on = fs.Backbone(Branching(), PREPROCESS, runtime="auto", origin="test")
    with pytest.warns(
        errors.DataWarning, match="torch runs it instead: this network can't be exported"
    ) as warned:
        got, _ = (going_on.embed(list(pixels(5))) for _ in range(2))
    assert len(warned) == 1
    assert np.array_equal(got, fs.Backbone(Branching(), PREPROCESS, runtime="torch").embed(list(pixels(5))))
    assert going_on.runtime == "torch"
    assert capfd.readouterr() == ("", ""), "the exporter's notes reach the screen"


# Options.


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_onnx_runs_in_float32(precision):
    with pytest.raises(
        errors.RuntimeUnavailableError, match=f"this backbone is in {precision} on cpu; use runtime='torch'"
    ):
        backbone(runtime="onnx", precision=precision)


def test_onnx_runs_on_the_cpu(monkeypatch):
    from fashionsearch.backbones import placing

    monkeypatch.setattr(
        placing, "resolve_placement", lambda *_: device.Placement(torch.device("meta"), "fp32")
    )
    with pytest.raises(
        errors.RuntimeUnavailableError, match="this backbone is in fp32 on meta; use runtime='torch'"
    ):
        backbone(runtime="onnx")


@pytest.mark.parametrize("name", ["onx", "", None, 5, "ONNX", "tensorrt"])
def test_unknown_runtimes_are_named(name):
    with pytest.raises(
        errors.InputError, match=f"runtime={name!r} is not one of auto, torch, onnx, openvino"
    ):
        backbone(runtime=name)


def test_the_threads_of_a_run_are_those_of_the_environment(tiny_graph, monkeypatch):
    def threads(**given):
        return OnnxRuntime(tiny_graph, **given)._session.get_session_options().intra_op_num_threads

    monkeypatch.delenv(THREADS, raising=False)
    assert threads() == 0  # one a core
    monkeypatch.setenv(THREADS, "3")
    assert threads() == 3
    assert threads(threads=1) == 1
    for wrong in ("0", "-1", "two", "²"):
        monkeypatch.setenv(THREADS, wrong)
        with pytest.raises(
            errors.InputError, match=f"FASHIONSEARCH_THREADS is '{wrong}', not a whole number"
        ):
            threads()


def test_whether_threads_spin_is_said_by_the_environment(tiny_graph, monkeypatch):
    def spins():
        options = OnnxRuntime(tiny_graph)._session.get_session_options()
        return options.get_session_config_entry("session.intra_op.allow_spinning")

    monkeypatch.delenv(SPIN, raising=False)
    assert spins() == "1"
    monkeypatch.setenv(SPIN, "0")
    assert spins() == "0"
    monkeypatch.setenv(SPIN, "no")
    with pytest.raises(errors.InputError, match="FASHIONSEARCH_SPIN is 'no', and neither 0 nor 1"):
        spins()


def test_running_out_of_memory_is_recognised(tiny_graph):
    runtime = OnnxRuntime(tiny_graph)

    class Full:
        def run(self, *_):
            raise Exception(
                "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9"
            )

    runtime._session = Full()
    with pytest.raises(MemoryError) as caught:
        runtime.run(pixels(3))
    assert device.is_out_of_memory(caught.value)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits its memory as Linux does")
def test_onnx_goes_on_in_smaller_batches_when_memory_runs_out(tmp_path):
    """The real allocator, in a process whose memory is limited: its words are not part of any promise."""
    code = """
        import resource, warnings
        import numpy as np, torch
        import fashionsearch as fs

        def embed(n):
            return model.embed([np.zeros((64, 64, 3), np.uint8)] * n)

        layers = [torch.nn.Conv2d(3, 64, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
        module = torch.nn.Sequential(*layers)
        model = fs.Backbone(module, fs.Preprocess((64, 64)), runtime="onnx", batch_size=300)
        one = embed(1)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 150 * 2**20,) * 2)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            many = embed(300)
        assert many.shape == (300, 64) and np.abs(many - one).max() < 1e-4
        assert len(caught) == 1 and "out of memory with 300 images" in str(caught[0].message), caught
    """
    environment = {
        name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")
    }
    home = {
        name: str(tmp_path / "home")
        for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**environment, **home, "FASHIONSEARCH_CACHE": str(tmp_path / "own"), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Failed to allocate" not in done.stderr
    strangers = [
        path for path in tmp_path.rglob("*") if "onnxruntime" in path.name or path.name == "deviceid"
    ]
    assert not strangers, "ONNX Runtime keeps an identifier, and sends events to its maker"


def test_onnx_runtime_is_imported_in_one_place_which_silences_it(monkeypatch):
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    assert import_onnxruntime("quantization").__name__ == "onnxruntime.quantization"
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    for path in Path(fs.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith("onnxruntime") for name in names), path


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_several_threads_may_run_one_network(runtime):
    if runtime == "openvino":
        pytest.importorskip("openvino")
    model = backbone(runtime=runtime)
    photos = [pixels(1, seed=seed) for seed in range(8)]
    expected = [model.embed(photo) for photo in photos]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(model.embed, photos * 20))
    for place, vector in enumerate(found):
        np.testing.assert_allclose(vector, expected[place % 8], atol=1e-6)

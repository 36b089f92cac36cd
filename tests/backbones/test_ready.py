"""A network that lies ready as a graph: where it runs, and where torch makes it."""

import copy
import pickle
import shutil

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import device, errors, pretrained
from fashionsearch.backbones import ready


@pytest.fixture(scope="module")
def table():
    return fs.datasets.make_catalogue(8, seed=6)


def test_a_backbone_of_another_size_is_made_in_torch(table):
    larger = fs.create_backbone("fashion", image_size=192, progress=False)
    assert larger.runtime == "torch"
    usual = fs.create_backbone("fashion", progress=False)
    assert usual.runtime == "onnx"
    cosines = (larger.embed(table.images[:8]) * usual.embed(table.images[:8])).sum(axis=1)
    assert cosines.min() > 0.5


def test_without_weights_it_is_an_untrained_network(table):
    untrained = fs.create_backbone("fashion", weights=None, random_state=0)
    assert untrained.origin is None
    assert untrained.dim == 256


def test_a_backbone_around_the_graph_can_be_copied_and_placed(table):
    usual = fs.create_backbone("fashion", progress=False)
    assert "'cpu'" in repr(usual)
    same = usual.variant(progress=True)
    np.testing.assert_array_equal(same.embed(table.images[:2]), usual.embed(table.images[:2]))
    by_torch = usual.variant(runtime="torch")
    np.testing.assert_allclose(by_torch.embed(table.images[:2]), usual.embed(table.images[:2]), atol=2e-4)
    assert by_torch.fingerprint == usual.fingerprint
    with pytest.raises(errors.RuntimeUnavailableError):
        fs.create_backbone("fashion", precision="bf16", runtime="onnx")


@pytest.mark.parametrize(
    ("options", "serves"),
    [
        (("auto", "auto", "auto"), True),
        (("cpu", "fp32", "onnx"), True),
        (("cpu", "fp32", "torch"), False),
        (("cpu", "bf16", "auto"), False),
        (("cuda", "auto", "auto"), False),
    ],
)
def test_the_graph_runs_on_the_cpu_in_full_precision(options, serves):
    assert ready.ReadyNetwork.shipped("fashion").serves(*options) is serves


def test_where_there_may_be_a_gpu_torch_decides(monkeypatch):
    monkeypatch.setattr(ready, "may_have_accelerator", lambda: True)
    assert not ready.ReadyNetwork.shipped("fashion").serves("auto", "auto", "auto")
    assert ready.ReadyNetwork.shipped("fashion").serves("cpu", "auto", "auto")


def test_a_driver_is_noticed_without_torch(monkeypatch):
    monkeypatch.setattr(device.sys, "platform", "linux")
    monkeypatch.setattr(device.os.path, "exists", lambda path: path == "/dev/nvidiactl")
    assert device.may_have_accelerator()
    monkeypatch.setattr(device.os.path, "exists", lambda path: False)
    assert not device.may_have_accelerator()


def test_it_goes_to_another_process(table):
    usual = fs.create_backbone("fashion", progress=False)
    expected = usual.embed(table.images[:2])
    for again in (pickle.loads(pickle.dumps(usual)), copy.deepcopy(usual)):  # noqa: S301 - our own
        np.testing.assert_array_equal(again.embed(table.images[:2]), expected)


def test_familiarity_stands_behind_the_embedding(table):
    usual = fs.create_backbone("fashion", progress=False)
    with_familiarity = usual.with_familiarity().embed(table.images)
    np.testing.assert_allclose(with_familiarity[:, :-1], usual.embed(table.images), atol=1e-5)
    by_torch = fs.create_backbone("fashion", runtime="torch", progress=False).with_familiarity()
    np.testing.assert_allclose(by_torch.embed(table.images), with_familiarity, atol=2e-4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, _no_graphs):
    """Return a tiny backbone with weights that count as trained, and the folder it was saved to with its graph."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
        )
    backbone = fs.Backbone(module, fs.Preprocess((16, 16)), name="tiny", origin="trained", progress=False)
    folder = tmp_path_factory.mktemp("saved") / "backbone"
    with pytest.MonkeyPatch.context() as context:
        context.setattr(fs.Backbone, "ready_graph", _no_graphs)
        backbone.save(folder)
    return backbone, folder


@pytest.mark.usefixtures("graphs")
def test_a_saved_network_runs_by_its_graph_and_is_the_same_one(trained, table):
    backbone, folder = trained
    again = fs.Backbone.load(folder, progress=False)
    assert (again.runtime, again.ready is not None) == ("onnx", True)
    assert again.identity() == backbone.identity()
    assert again._cache_salt == backbone._cache_salt
    np.testing.assert_allclose(again.embed(table.images), backbone.embed(table.images), atol=1e-5)


def test_what_is_made_in_torch_needs_its_architecture_and_says_so(trained):
    _, folder = trained
    for options in ({"rebuild": True}, {"runtime": "torch"}):
        with pytest.raises(errors.UnknownBackboneError, match="'tiny', which nobody has registered"):
            fs.Backbone.load(folder, **options)


def test_a_loaded_network_outlives_its_folder_and_is_saved_again(trained, table, tmp_path):
    shutil.copytree(trained[1], tmp_path / "first")
    loaded = fs.Backbone.load(tmp_path / "first", progress=False)
    expected = loaded.embed(table.images[:2])
    shutil.rmtree(tmp_path / "first")
    loaded.save(tmp_path / "second")
    for again in (
        fs.Backbone.load(tmp_path / "second", progress=False),
        pickle.loads(pickle.dumps(loaded)),  # noqa: S301 - our own
        copy.deepcopy(loaded),
    ):
        np.testing.assert_array_equal(again.embed(table.images[:2]), expected)
    loaded.save(tmp_path / "third", onnx=False)
    with pytest.raises(errors.UnknownBackboneError):  # torch is asked for it
        fs.Backbone.load(tmp_path / "third")


def test_a_damaged_graph_is_told_before_a_session_opens(trained, tmp_path):
    shutil.copytree(trained[1], tmp_path / "damaged")
    (graph,) = (tmp_path / "damaged").rglob("backbone.onnx")
    graph.write_bytes(graph.read_bytes()[:-1] + b"!")
    with pytest.raises(errors.CorruptFileError, match=r"backbone\.onnx is not the file that was saved"):
        fs.Backbone.load(tmp_path / "damaged")


def test_a_shipped_network_is_kept_as_it_ships_and_known_by_its_hash(table, tmp_path):
    usual = fs.create_backbone("fashion", progress=False)
    usual.save(tmp_path / "fashion")
    (weights,) = tmp_path.rglob("backbone.safetensors")
    assert weights.read_bytes() == pretrained.weights_of("fashion")
    assert not list(tmp_path.rglob("*.onnx"))
    again = fs.Backbone.load(tmp_path / "fashion", progress=False, rebuild=True)
    assert again.ready is not None
    assert again.identity() == usual.identity()
    by_torch = fs.Backbone.load(tmp_path / "fashion", runtime="torch", progress=False)
    assert by_torch.identity() == usual.identity()
    np.testing.assert_allclose(by_torch.embed(table.images), usual.embed(table.images), atol=2e-4)


def test_a_graph_without_an_output_is_told(trained):
    loaded = fs.Backbone.load(trained[1], progress=False)
    with pytest.raises(errors.RuntimeUnavailableError, match="gives 'embeddings' and not 'familiar'"):
        loaded.with_familiarity().embed(np.zeros((1, 16, 16, 3), np.uint8))

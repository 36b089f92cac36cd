"""What every backbone keeps, whatever its network: `check_backbone` is for the authors of plug-ins too."""

import copy
import functools
import itertools
import pickle
import socket
import tempfile

import numpy as np
import pytest
import timm
import torch
import torchvision.models

import fashionsearch as fs
from fashionsearch.backbones import architectures
from fashionsearch.backbones.weights import weights_hash

# name, weights, image size: the smallest that keeps the suite quick and that the network takes
CASES = [
    ("cnn", None, 32),
    ("cnn_grid", None, 32),
    ("efficientnet_lite0", "default", 64),
    ("efficientnet_lite0", None, 64),
    ("resnet50", None, 64),
    ("vgg19", None, 32),
    ("vgg19_bn", None, 32),
    ("timm:inception_v3", None, 96),
    ("timm:mobilenetv3_small_100", None, 64),
    ("timm:densenet121", None, 64),
    ("timm:efficientnet_b0", None, 64),
    ("timm:vit_tiny_patch16_224", None, 64),
    ("torchvision:alexnet", None, 64),
    ("open_clip:ViT-S-32-alt", None, 64),
    ("test_plugin", None, 24),
    ("test_plugin", "default", 24),
]
DIMS = {
    "cnn": 256,
    "cnn_grid": 4096,
    "efficientnet_lite0": 1280,
    "resnet50": 2048,
    "vgg19": 512,
    "vgg19_bn": 512,
    "timm:inception_v3": 2048,
    "timm:mobilenetv3_small_100": 1024,
    "timm:densenet121": 1024,
    "timm:efficientnet_b0": 1280,
    "timm:vit_tiny_patch16_224": 192,
    "torchvision:alexnet": 4096,
    "open_clip:ViT-S-32-alt": 256,
    "test_plugin": 12,
}
PUBLISHED = {
    "efficientnet_lite0": "tf_efficientnet_lite0.in1k",
    "resnet50": "resnet50.a1_in1k",
    "vgg19": "vgg19.tv_in1k",
    "vgg19_bn": "vgg19_bn.tv_in1k",
    "timm:inception_v3": "inception_v3",
    "timm:mobilenetv3_small_100": "mobilenetv3_small_100",
    "timm:densenet121": "densenet121",
    "timm:efficientnet_b0": "efficientnet_b0",
    "timm:vit_tiny_patch16_224": "vit_tiny_patch16_224",
}
TOO_SMALL = {
    "cnn": 15,
    "vgg19": 31,
    "timm:inception_v3": 74,
    "timm:densenet121": 16,
    "timm:vit_tiny_patch16_224": 8,
    "torchvision:alexnet": 62,
}


def test_plugin(weights):
    """A plug-in's function, with batch normalisation and dropout, which differ in training."""
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 12, 5), torch.nn.BatchNorm2d(12), torch.nn.ReLU(), torch.nn.Dropout(0.5),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
    )  # fmt: skip
    if weights == "default":
        torch.nn.init.constant_(module[0].weight, 0.01)
        module[1].running_mean.fill_(-0.5)
    return module


test_plugin.__test__ = False


@pytest.fixture(autouse=True, scope="module")
def _registered():
    register = fs.register_backbone("test_plugin", image_size=24, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    register(test_plugin)
    yield
    del architectures._registered["test_plugin"]
    made.cache_clear()


@functools.cache
def made(name, weights, image_size):
    """Return one backbone for all tests that only read it; torch's runtime, so that equal means equal."""
    return fs.create_backbone(
        name, weights=weights, image_size=image_size, random_state=0, runtime="torch", progress=False
    )


def some_photos(n=5):
    rng = np.random.default_rng(0)
    return [
        np.clip(rng.integers(0, 60, (50 + i, 40, 3)) + rng.integers(0, 196, 3), 0, 255).astype(np.uint8)
        for i in range(n)
    ]


def near(got, expected, tolerance=1e-4):
    """Whether two arrays differ by the rounding of float32 sums in another order, and no more."""
    return got.shape == expected.shape and np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


def check_backbone(backbone):
    """Raise AssertionError where a backbone breaks the contract; its name must be one that `create_backbone` knows."""
    photos = some_photos()
    embeddings = backbone.embed(photos)

    assert embeddings.dtype == np.float32
    assert embeddings.shape == (len(photos), backbone.dim)
    assert np.isfinite(embeddings).all()
    assert np.ptp(embeddings, axis=0).max() > 0, "all photos get one embedding"

    own = torch.from_numpy(np.stack([backbone.preprocess(photo) for photo in photos]))
    with torch.inference_mode():
        by_hand = backbone.module.eval()(own.to(backbone.device)).float().cpu().numpy()
    assert near(embeddings, by_hand), "embed isn't preprocess and one forward pass"

    assert near(backbone.embed(photos[0]), embeddings[:1]), "one photo isn't one row"
    assert backbone.embed([]).shape == (0, backbone.dim)
    assert near(backbone.embed(photos[::-1])[::-1], embeddings), "the order of the photos matters"
    assert near(backbone.embed(photo for photo in photos), embeddings)
    for batch_size in (1, 2, 3):
        other = fs.Backbone(
            backbone.module, backbone.preprocess, name=backbone.name, runtime="torch", batch_size=batch_size
        )
        assert near(other.embed(photos), embeddings), f"batches of {batch_size} give other embeddings"

    before = {name: tensor.clone() for name, tensor in backbone.module.state_dict().items()}
    backbone.module.train()
    assert near(backbone.embed(photos), embeddings), "training mode leaks into the embeddings"
    after = backbone.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before), "embedding changes the weights"

    with tempfile.TemporaryDirectory() as folder:
        backbone.save(folder)
        again = fs.Backbone.load(folder, runtime="torch")
        for key in ("name", "origin", "dim", "preprocess", "weights_hash", "fingerprint"):
            assert getattr(again, key) == getattr(backbone, key), f"{key} is lost by saving"
        assert np.array_equal(again.embed(photos), backbone.embed(photos)), "saving changes the embeddings"


@pytest.mark.parametrize(("name", "weights", "image_size"), CASES)
def test_every_backbone_keeps_the_contract(name, weights, image_size, monkeypatch):
    backbone = made(name, weights, image_size)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("save or load uses the network"))
    check_backbone(backbone)
    assert backbone.name == name
    assert backbone.dim == DIMS[name]
    assert backbone.preprocess.image_size == (image_size, image_size)
    assert (backbone.origin is None) == (weights is None)
    assert repr(backbone).startswith(f"Backbone({name!r}, dim={backbone.dim}, image_size={image_size}×")


def test_the_check_finds_what_it_is_for():
    class Drifting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = itertools.count(1)

        def forward(self, images):
            return images.mean((2, 3)) * next(self.calls)

    class OfTheBatch(torch.nn.Module):
        def forward(self, images):
            return images.mean((2, 3)) - images.mean((0, 2, 3))

    for module in (Drifting(), OfTheBatch()):
        with pytest.raises(AssertionError):
            check_backbone(fs.Backbone(module, fs.Preprocess((8, 8)), name="test_plugin", runtime="torch"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_preprocessing_is_the_one_that_was_published(name):
    config = timm.models.get_pretrained_cfg(PUBLISHED[name])
    preprocess = architectures.find_architecture(name).preprocess
    assert preprocess.image_size == config.input_size[1:]
    assert preprocess.mean == config.mean
    assert preprocess.std == config.std
    assert preprocess.interpolation == config.interpolation
    assert preprocess.resize == "squash"


@pytest.mark.parametrize("architecture", ["alexnet", "vit_b_16", "efficientnet_v2_s", "swin_v2_t"])
def test_preprocessing_of_torchvision_is_the_one_that_was_published(architecture):
    published = torchvision.models.get_model_weights(architecture).DEFAULT.transforms()
    preprocess = architectures.find_architecture(f"torchvision:{architecture}").preprocess
    assert preprocess.image_size == (published.crop_size[0],) * 2
    assert preprocess.mean == tuple(published.mean)
    assert preprocess.std == tuple(published.std)
    assert preprocess.interpolation == published.interpolation.value


@pytest.mark.parametrize(("name", "weights", "image_size"), [case for case in CASES if case[1] is None])
def test_random_state_decides_the_untrained_weights(name, weights, image_size):
    state = torch.get_rng_state()
    preprocess = made(name, None, image_size).preprocess
    same = architectures.build_network(name, preprocess, 0)
    assert weights_hash(same) == made(name, None, image_size).weights_hash
    assert torch.equal(torch.get_rng_state(), state), "the program's own random state is spent"


def test_without_a_random_state_every_network_is_another():
    seeds = (0, 1, None, None)
    made_now = [fs.create_backbone("cnn", weights=None, image_size=32, random_state=seed) for seed in seeds]
    assert len({backbone.weights_hash for backbone in made_now}) == 4


def test_loading_leaves_the_programs_random_state_alone(tmp_path):
    made("cnn", None, 32).save(tmp_path)
    state = torch.get_rng_state()
    fs.Backbone.load(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", TOO_SMALL)
def test_an_image_size_that_the_network_cannot_take_is_named(name):
    side = TOO_SMALL[name]
    with pytest.raises(fs.errors.InputError, match="may need another image_size") as caught:
        fs.create_backbone(name, weights=None, image_size=side)
    assert name in str(caught.value)
    assert f"{side}, {side}" in str(caught.value) or f"{side}×{side}" in str(caught.value)


def test_an_image_size_that_the_network_cannot_be_built_for_is_named():
    with pytest.raises(
        fs.errors.InputError, match=r"torchvision:vit_b_32.*can't be built for images of 100×100"
    ):
        fs.create_backbone("torchvision:vit_b_32", weights=None, image_size=100)


def test_height_and_width_are_not_confused():
    tall = fs.create_backbone("cnn", weights=None, image_size=(48, 32), random_state=0)
    assert tall.preprocess.image_size == (48, 32)
    photo = np.zeros((48, 32, 3), np.uint8)
    photo[:24] = 255
    own = torch.from_numpy(tall.preprocess(photo)[None])
    assert own.shape == (1, 3, 48, 32)
    assert near(tall.embed(photo), tall.module(own).detach().numpy())
    transformer = fs.create_backbone("timm:vit_tiny_patch16_224", weights=None, image_size=(32, 64))
    assert transformer.embed(photo).shape == (1, 192)


def test_resize_travels_with_a_saved_backbone(tmp_path):
    backbone = fs.create_backbone(
        "cnn", weights=None, image_size=32, resize="pad", random_state=0, runtime="torch"
    )
    backbone.save(tmp_path)
    again = fs.Backbone.load(tmp_path, runtime="torch")
    assert again.preprocess.resize == "pad"
    photos = some_photos()
    assert np.array_equal(again.embed(photos), backbone.embed(photos))
    assert not near(backbone.embed(photos), made("cnn", None, 32).embed(photos))


def test_a_backbone_whose_code_is_gone_says_what_to_do(tmp_path):
    fs.Backbone(torch.nn.Flatten(), fs.Preprocess((8, 8)), name="vanished").save(tmp_path)
    with pytest.raises(
        fs.errors.UnknownBackboneError, match="'vanished', which nobody has registered here; install"
    ):
        fs.Backbone.load(tmp_path)


def test_weights_that_no_longer_fit_the_code_are_refused(tmp_path):
    fs.Backbone(_Head(), fs.Preprocess((24, 24)), name="test_plugin").save(tmp_path)
    with pytest.raises(fs.errors.WeightsError, match="don't fit backbone 'test_plugin' as it is defined now"):
        fs.Backbone.load(tmp_path)


class _Head(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 4)

    def forward(self, images):
        return self.layer(images.mean((2, 3)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vgg19", fs.Preprocess((8, 8))), "needs a torch nn.Module and a Preprocess"),
        ((torch.nn.Flatten(), 224), "needs a torch nn.Module and a Preprocess"),
    ],
)
def test_what_is_no_network_or_preprocessing_is_refused(arguments, message):
    with pytest.raises(fs.errors.InputError, match=message):
        fs.Backbone(*arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"runtime": "onx"}, fs.errors.InputError, "runtime='onx'.*Did you mean 'onnx'"),
        ({"batch_size": 0}, fs.errors.InputError, "batch_size=0 is not a whole number"),
        ({"batch_size": 2.5}, fs.errors.InputError, "batch_size=2.5 is not a whole number"),
        ({"device": "gpu"}, fs.errors.DeviceError, "device='gpu' is not on this machine"),
        ({"precision": "fp8"}, fs.errors.DeviceError, "precision='fp8' is not one of"),
        ({"image_size": 3.5}, fs.errors.InputError, "image_size"),
        ({"image_size": 0}, fs.errors.InputError, "image_size"),
        ({"resize": "stretch"}, fs.errors.InputError, "resize='stretch'"),
        ({"random_state": "zero"}, fs.errors.InputError, "random_state='zero' is not a whole number"),
        ({"random_state": -1}, fs.errors.InputError, "random_state=-1"),
        ({"random_state": 1.5}, fs.errors.InputError, "random_state=1.5"),
    ],
)
def test_options_that_cannot_be_used_are_named(options, error, message):
    with pytest.raises(error, match=message):
        fs.create_backbone("cnn", weights=None, **options)


def test_numpy_numbers_are_numbers():
    backbone = fs.create_backbone(
        "cnn", weights=None, image_size=np.int64(32), batch_size=np.int32(2), random_state=np.int64(0)
    )
    assert backbone.weights_hash == made("cnn", None, 32).weights_hash
    assert backbone.preprocess == made("cnn", None, 32).preprocess


def test_a_backbone_is_copied_and_crosses_processes():
    photos = np.random.default_rng(0).integers(0, 256, (2, 48, 40, 3), dtype=np.uint8)
    backbone = fs.create_backbone("cnn", weights=None, image_size=32, random_state=0, progress=False)
    expected = backbone.embed(photos)
    for other in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):  # noqa: S301
        np.testing.assert_array_equal(other.embed(photos), expected)

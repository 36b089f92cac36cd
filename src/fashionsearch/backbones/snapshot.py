"""How a backbone lies in a folder, its own or that of what it is part of.

```text
backbone.json           name, origin, dim, preprocessing, what its layers are, and what is known of a lower precision
backbone.safetensors    the network's tensors, by name; of a network that ships with the library, the file that ships
backbone.onnx           the network as a graph with "embeddings", of a tagger also "familiar"; beside trained weights
backbone.int8.onnx      the network in int8, if that is how it runs
```

Where there is a graph the network runs by it, and torch is imported by what needs the network there. A network that ships
with the library is recognised by the hash of its weights, and runs by the graph that ships.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionsearch import errors, storage
from fashionsearch.backbones.architectures import build_network
from fashionsearch.backbones.ready import ReadyNetwork, Source, shipped_network
from fashionsearch.device import torch_defaults
from fashionsearch.encoder import GRAPH
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.pretrained import network_of
from fashionsearch.runtimes import LowPrecision
from fashionsearch.text_methods import embeds_text

if TYPE_CHECKING:
    import torch
    from torch import nn

_CONFIG, _WEIGHTS, _INT8 = "backbone.json", "backbone.safetensors", "backbone.int8.onnx"
_OF_LAYERS = ("projected", "embedder", "folded", "embeds_text", "layers_sha256")


class Network:
    """What a `Backbone` is to be saved by; its attributes are described there."""

    name: str
    origin: str | None
    dim: int
    preprocess: Preprocess
    lowered: LowPrecision | None
    ready: ReadyNetwork | None
    progress: bool

    @property
    def module(self) -> nn.Module:
        """The network in torch."""
        raise NotImplementedError

    @property
    def weights_hash(self) -> str:
        """The SHA-256 of its tensors."""
        raise NotImplementedError

    @property
    def _cache_salt(self) -> str:
        raise NotImplementedError

    def writers(self, prefix: str = "") -> dict[str, storage.Writer]:
        """Return what `storage.save` needs to keep this backbone."""
        raise NotImplementedError

    def ready_graph(self) -> bytes:
        """Return the graph that is saved beside the weights."""
        raise NotImplementedError


def writers(backbone: Network, prefix: str) -> dict[str, storage.Writer]:
    """Return what `storage.save` needs to keep a backbone."""
    ready = backbone.ready
    if ready is None and backbone.lowered is None:
        ready = shipped_network(backbone.name, backbone.weights_hash, backbone.preprocess)
    if ready is None:
        layers, files = _of_module(backbone)
    else:
        layers, files = ready.source.kept(), ready.source.writers()
    config = {
        "name": backbone.name,
        "origin": backbone.origin,
        "weights_sha256": backbone.weights_hash,
        "dim": backbone.dim,
        **layers,
        "preprocess": backbone.preprocess.to_dict(),
        "lowered": None if backbone.lowered is None else backbone.lowered.to_dict(),
    }
    return {
        f"{prefix}{name}": write for name, write in {_CONFIG: storage.write_json(config), **files}.items()
    }


def _of_module(backbone: Network) -> tuple[dict[str, Any], dict[str, storage.Writer]]:
    """Return what is to be known of the layers of a network in torch, and what writes it."""
    import safetensors.torch
    import torch

    from fashionsearch.backbones.embedder import Embedder
    from fashionsearch.backbones.modules import Projected

    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in backbone.module.state_dict().items()
    }
    layers = {
        "projected": isinstance(backbone.module, Projected),
        "embedder": isinstance(backbone.module, Embedder),
        "embeds_text": embeds_text(backbone.module),
        "layers_sha256": layers_hash(backbone.module),
    }
    files = {_WEIGHTS: _written(lambda: safetensors.torch.save(tensors))}
    if backbone.lowered is not None and backbone.lowered.graph is not None:
        files[_INT8] = storage.write_bytes(backbone.lowered.graph)
    elif backbone.lowered is None and backbone.origin is not None:
        files[GRAPH] = _written(backbone.ready_graph)
    return layers, files


def layers_hash(module: nn.Module) -> str:
    """Return the SHA-256 of what torch says of a network's layers."""
    return hashlib.sha256(repr(module).encode()).hexdigest()


def read(saved: storage.Saved, prefix: str) -> dict[str, Any]:
    """Return the arguments of `Backbone` that are saved; how it runs is decided where it is read.

    Raises:
        UnknownBackboneError: if its architecture came from a plug-in that isn't installed, and there is no graph.
        WeightsError: if the weights don't fit the architecture, or one is NaN or infinite, and there is no graph.
        MissingPackageError: if torch isn't installed, and there is no graph.
        CorruptFileError: if the files aren't what was saved.
    """
    config = saved.json(f"{prefix}{_CONFIG}")
    name, dim = config.text("name"), config.whole("dim", least=1)
    try:
        preprocess = Preprocess.from_dict(config.fields("preprocess"))
    except errors.InputError as error:
        raise errors.CorruptFileError(f"{config.path}: {error}; restore it from a copy") from error
    lowered = None
    if config.get("lowered") is not None:
        lowered = _lowered(saved, config, prefix)
    weights = saved.held(f"{prefix}{_WEIGHTS}")
    layers = {key: config[key] for key in _OF_LAYERS if key in config}
    source = _Saved(weights, layers, name, preprocess, os.fspath(saved.folder))
    module: nn.Module | ReadyNetwork | None = None
    if lowered is None and f"{prefix}{GRAPH}" in saved.files:
        source.take(saved.content(f"{prefix}{GRAPH}"), saved.held(f"{prefix}{GRAPH}"))
        known = config.text("weights_sha256"), source, config.text("layers_sha256")
        module = ReadyNetwork(name, dim, *known, embeds_text=config.flag("embeds_text"))
    elif lowered is None:
        module = shipped_network(name, config.get("weights_sha256"), preprocess)
    return {
        "module": source.make() if module is None else module,
        "preprocess": preprocess,
        "name": name,
        "origin": config["origin"],
        "lowered": lowered,
        "dim": dim,
    }


def _lowered(saved: storage.Saved, config: storage.Fields, prefix: str) -> LowPrecision | None:
    """Return the lower precision, None with a `DataWarning` where its graph isn't to be read."""
    name, graph = f"{prefix}{_INT8}", None
    if config.fields("lowered").text("precision", among=("bf16", "int8")) == "int8":
        if name not in saved.files:
            warnings.warn(
                f"{saved.folder} was saved in int8, and runs in fp32 from its weights, since its graph isn't read",
                errors.DataWarning,
                stacklevel=2,
            )
            return None
        graph = saved.content(name)
    return LowPrecision.from_dict(config["lowered"], graph)


class _Saved(Source):
    """A network in a folder.

    Args:
        weights: the file of its tensors.
        layers: what `backbone.json` says of them.
        name: of the architecture.
        preprocess: of its images.
        folder: for errors.
    """

    def __init__(
        self, weights: storage.Held, layers: Mapping[str, Any], name: str, preprocess: Preprocess, folder: str
    ) -> None:
        self._weights, self._layers, self._name = weights, layers, name
        self._preprocess, self._folder = preprocess, folder
        self._verified: bytes | None = None

    def take(self, graph: bytes, held: storage.Held) -> None:
        """Hear of the graph: its content, which is dropped once it has run, and its file."""
        self._verified, self._graph = graph, held

    def graph(self) -> bytes:
        """Return the graph, verified."""
        graph, self._verified = self._verified, None
        return self._graph.content() if graph is None else graph

    def make(self) -> nn.Module:
        """Return the network in torch, its weights verified and finite."""
        try:
            return self._made()
        except errors.UnknownBackboneError as error:
            raise errors.UnknownBackboneError(
                f"{self._folder} was saved with backbone {self._name!r}, which nobody has registered here; install its "
                "plug-in, or run the code that registers it, and load again"
            ) from error
        except errors.MissingPackageError as error:
            raise errors.MissingPackageError(
                f"{self._folder} is to be read from its weights, which takes torch (only a folder that has {GRAPH} does "
                f"without, and not with rebuild=True or another device, precision or runtime): {error}"
            ) from error

    def _made(self) -> nn.Module:
        module = build_network(self._name, self._preprocess)

        import safetensors.torch

        from fashionsearch.backbones.embedder import Embedder
        from fashionsearch.backbones.modules import Projected
        from fashionsearch.backbones.weights import check_finite

        content = self._weights.content()
        with torch_defaults():
            try:
                tensors = safetensors.torch.load(content)
                if self._layers.get("folded"):
                    tensors = _unfolded(module, content)
                if self._layers.get("projected"):
                    shorter, longer = tensors["projection.weight"].shape
                    module = Projected(module, longer, shorter)
                if self._layers.get("embedder"):
                    network = module.features.module if isinstance(module, Embedder) else module
                    module = Embedder.shaped_like(network, self._preprocess, tensors)
                module.load_state_dict(tensors)
            # What is no safetensors file, or holds something else, fails in many ways.
            except (safetensors.SafetensorError, RuntimeError, KeyError, ValueError) as error:
                raise errors.WeightsError(
                    f"{self._folder}: the saved weights don't fit backbone {self._name!r} as it is defined now: {error}"
                ) from error
        check_finite(module, self._folder)
        return module

    def kept(self) -> dict[str, Any]:
        """Return what `backbone.json` said."""
        return dict(self._layers)

    def writers(self) -> dict[str, storage.Writer]:
        """Return what copies the files, each verified."""
        return {_WEIGHTS: _written(self._weights.content), GRAPH: _written(self._graph.content)}


def _unfolded(module: nn.Module, content: bytes) -> dict[str, torch.Tensor]:
    """Return the tensors of a file as it ships, with what was left out of it."""
    import torch

    from fashionsearch.backbones.weights import unfolded

    arrays = network_of(storage.parse_arrays(bytearray(content)))
    kept = unfolded(module, {name: torch.from_numpy(array) for name, array in arrays.items()})
    return {**module.state_dict(), **kept}


def _written(content: Callable[[], bytes]) -> storage.Writer:
    def write(path: Path) -> None:
        path.write_bytes(content())

    return write

"""A network that lies ready as a graph: it embeds without torch, and is made in torch by what needs it there."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionsearch import storage
from fashionsearch.device import forks, may_have_accelerator
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.pretrained import graph_of, is_shipped, known, weights_of
from fashionsearch.runtimes.onnx import OnnxRuntime

if TYPE_CHECKING:
    from torch import nn

EMBEDDINGS, FAMILIAR = "embeddings", "familiar"


class Source(ABC):
    """Where a ready network comes from; its session is opened once, whatever outputs are asked for."""

    _session: tuple[int, OnnxRuntime] | None = None

    def runtime(self) -> OnnxRuntime:
        """Return what runs the graph, opened at the first use, and again in a forked child.

        Raises:
            CorruptFileError: if a file isn't the one that was written.
        """
        session = self._session
        if session is None or session[0] != forks():
            session = self._session = forks(), OnnxRuntime(self.graph())
        return session[1]

    @abstractmethod
    def graph(self) -> bytes | Path:
        """Return the graph, verified."""

    @abstractmethod
    def make(self) -> nn.Module:
        """Return the network in torch."""

    @abstractmethod
    def kept(self) -> dict[str, Any]:
        """Return what `backbone.json` says of the network's layers."""

    @abstractmethod
    def writers(self) -> dict[str, storage.Writer]:
        """Return what writes the files beside `backbone.json`."""

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_session": None}


@dataclass(frozen=True, eq=False)
class ReadyNetwork:
    """A network that lies ready, in place of a `Backbone`'s module.

    Attributes:
        name: of the network.
        dim: length of what it returns.
        weights_hash: of its tensors in torch.
        source: gives its graph, and makes it in torch.
        layers: SHA-256 of what torch says of its layers, part of the keys of caches.
        embeds_text: whether in torch it embeds texts too.
        output: of the graph.
    """

    name: str
    dim: int
    weights_hash: str
    source: Source
    layers: str
    embeds_text: bool = False
    output: str = EMBEDDINGS

    @classmethod
    def shipped(cls, name: str) -> ReadyNetwork:
        """Return the network of a name that ships with the library."""
        about = known(name)
        return cls(name, about["dim"], about["network"], Shipped(name), about["network"])

    def serves(self, device: str, precision: str, runtime: str) -> bool:
        """Return whether the graph may run where these options lead here; torch runs the network elsewhere."""
        here = device == "cpu" or (device == "auto" and not may_have_accelerator())
        return here and precision in ("auto", "fp32") and runtime in ("auto", "onnx")

    def runtime(self) -> OnnxRuntime:
        """Open the graph.

        Raises:
            CorruptFileError: if a file isn't the one that was written.
        """
        return self.source.runtime().giving(self.output)

    def make(self) -> nn.Module:
        """Return the network in torch.

        Raises:
            MissingPackageError: if torch isn't installed.
        """
        module = self.source.make()
        if self.output == FAMILIAR:
            from fashionsearch.backbones.embedder import Embedder, WithFamiliarity

            return WithFamiliarity(module) if isinstance(module, Embedder) else module
        return module

    def with_familiarity(self) -> ReadyNetwork:
        """Return the network that gives one number more, how familiar the photo is."""
        return dataclasses.replace(self, dim=self.dim + 1, output=FAMILIAR)


class Shipped(Source):
    """A network that ships with the library.

    Args:
        name: of the network.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def graph(self) -> Path:
        """Return the path of the graph, which finds its weights in the file beside it; both are verified."""
        return graph_of(self._name)

    def make(self) -> nn.Module:
        """Return the network in torch."""
        from fashionsearch.backbones.architectures import build_network, find_architecture
        from fashionsearch.backbones.builtin import load_shipped

        module = build_network(self._name, find_architecture(self._name).preprocess)
        load_shipped(self._name)(module)
        return module

    def kept(self) -> dict[str, Any]:
        """Return that the weights are kept as they ship."""
        return {"projected": False, "embedder": True, "folded": True}

    def writers(self) -> dict[str, storage.Writer]:
        """Return what writes the weights as they ship; their graph ships with the library."""
        return {"backbone.safetensors": lambda path: path.write_bytes(weights_of(self._name))}


def shipped_network(name: str, weights_hash: object, preprocess: Preprocess) -> ReadyNetwork | None:
    """Return the network that ships with the library if it is this one, by its hash."""
    if not is_shipped(name) or known(name)["network"] != weights_hash:
        return None
    from fashionsearch.backbones.builtin import BUILTIN

    return ReadyNetwork.shipped(name) if BUILTIN[name].preprocess == preprocess else None

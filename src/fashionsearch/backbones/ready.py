"""A network that lies ready as a graph: it embeds without torch, and is made in torch by what needs it there."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fashionsearch.device import may_have_accelerator
from fashionsearch.pretrained import graph_of, open_shipped
from fashionsearch.runtimes.onnx import OnnxRuntime

if TYPE_CHECKING:
    from torch import nn

_EMBEDDINGS, _FAMILIAR = "embeddings", "familiar"


@dataclass(frozen=True)
class ReadyNetwork:
    """A shipped network, in place of a `Backbone`'s module.

    Attributes:
        name: of the network.
        dim: length of what it returns.
        weights_hash: of its tensors in torch.
        output: of the graph.
    """

    name: str
    dim: int
    weights_hash: str
    output: str = _EMBEDDINGS

    @classmethod
    def open(cls, name: str) -> ReadyNetwork:
        """Return the shipped network of a name.

        Raises:
            CorruptFileError: if its file isn't the one that shipped.
        """
        config = open_shipped(name).config
        return cls(name, config.whole("dim", least=1), config.text("weights_sha256"))

    def serves(self, device: str, precision: str, runtime: str) -> bool:
        """Return whether the graph may run where these options lead here; torch runs the network elsewhere."""
        here = device == "cpu" or (device == "auto" and not may_have_accelerator())
        return here and precision in ("auto", "fp32") and runtime in ("auto", "onnx")

    def runtime(self) -> OnnxRuntime:
        """Open the graph.

        Raises:
            CorruptFileError: if a file isn't the one that shipped.
        """
        return OnnxRuntime(graph_of(self.name), output=self.output)

    def make(self) -> nn.Module:
        """Return the network in torch."""
        from fashionsearch.backbones.architectures import build_network, find_architecture
        from fashionsearch.backbones.builtin import load_shipped
        from fashionsearch.backbones.embedder import Embedder, WithFamiliarity

        module = build_network(self.name, find_architecture(self.name).preprocess)
        load_shipped(self.name)(module)
        if self.output == _FAMILIAR and isinstance(module, Embedder):
            return WithFamiliarity(module)
        return module

    def with_familiarity(self) -> ReadyNetwork:
        """Return the network that gives one number more, how familiar the photo is."""
        return dataclasses.replace(self, dim=self.dim + 1, output=_FAMILIAR)

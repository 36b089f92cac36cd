"""The graph that is saved beside a network's weights: exported, and compared with torch before it is kept."""

from __future__ import annotations

import copy

import torch
from torch import nn

from fashionsearch import errors
from fashionsearch.backbones.embedder import Embedder, WithFamiliarity
from fashionsearch.backbones.ready import EMBEDDINGS, FAMILIAR
from fashionsearch.device import torch_defaults
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes.graph import compare, export, kept_graph
from fashionsearch.runtimes.onnx import OnnxRuntime

_MOST = 1_900_000_000  # bytes of weights; a graph with its weights inside has less than 2 GiB


class _Both(nn.Module):
    """An embedder's embeddings, and these with their familiarity behind them."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map normalised (n, 3, H, W) to (n, dim) and (n, dim + 1)."""
        familiar = self.embedder.with_familiarity(images)
        return familiar[:, :-1], familiar


def exported_graph(module: nn.Module, preprocess: Preprocess, fingerprint: str) -> bytes:
    """Return a network's graph, which gives "embeddings", and of a tagger's network also "familiar".

    Args:
        module: the network.
        preprocess: its preprocessing.
        fingerprint: of layers, weights and preprocessing, by which exports are kept in the cache.

    Raises:
        RuntimeUnavailableError: if it can't be exported, or the graph disagrees with torch.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    if size > _MOST:
        raise errors.RuntimeUnavailableError(
            f"its weights have {size / 1e9:.1f} GB, and a graph with its weights inside has less than 2"
        )
    if any(tensor.device.type != "cpu" for tensor in module.state_dict().values()):
        with torch_defaults():
            module = copy.deepcopy(module).to("cpu")
    answers: dict[str, nn.Module] = {EMBEDDINGS: module}
    whole = module
    if isinstance(module, Embedder):
        whole, answers[FAMILIAR] = _Both(module), WithFamiliarity(module)
        fingerprint += f" and {FAMILIAR}"

    def check(graph: bytes) -> None:
        runtime = OnnxRuntime(graph)
        for output, answer in answers.items():
            compare(runtime.giving(output), answer, preprocess)

    return kept_graph(lambda: export(whole, preprocess, list(answers)), fingerprint, check)

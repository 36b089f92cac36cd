"""Losses that place embeddings, by name: one of our own, and those of pytorch-metric-learning, the extra `[metric]`.

A new one is a function that makes it and a line in `LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn

from fashionsearch import errors
from fashionsearch.targets import UNKNOWN
from fashionsearch.training.losses import supervised_contrastive

# How many classes, the length of an embedding, the temperature -> what maps (n, dim) and (n,) known class indices to a loss.
Maker: TypeAlias = "Callable[[int, int, float], nn.Module]"


class SupervisedContrastive(nn.Module):
    """`supervised_contrastive` at one temperature."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self._temperature = temperature

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Map (n, dim) embeddings and (n,) class indices to a loss."""
        return supervised_contrastive(embeddings, labels, temperature=self._temperature)


class _Mined(nn.Module):
    """A loss that is given the pairs or triplets of a batch that a miner finds worth learning from."""

    def __init__(self, loss: nn.Module, miner: nn.Module) -> None:
        super().__init__()
        self.loss, self.miner = loss, miner

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Map (n, dim) embeddings and (n,) class indices to a loss."""
        value: torch.Tensor = self.loss(embeddings, labels, self.miner(embeddings, labels))
        return value


def _library(part: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"pytorch_metric_learning.{part}")
    except ImportError as error:
        raise errors.MissingPackageError(
            "this loss comes from pytorch-metric-learning, which isn't installed: pip install pytorch-metric-learning, or "
            "use loss='supervised_contrastive'"
        ) from error


def check_installed(loss: str) -> None:
    """Raise MissingPackageError if a loss comes from pytorch-metric-learning, and that isn't installed."""
    if loss != "supervised_contrastive":
        _library("losses")


def _proxy_anchor(classes: int, dim: int, temperature: float) -> nn.Module:
    loss: nn.Module = _library("losses").ProxyAnchorLoss(classes, dim)
    return loss


def _multi_similarity(classes: int, dim: int, temperature: float) -> nn.Module:
    return _Mined(_library("losses").MultiSimilarityLoss(), _library("miners").MultiSimilarityMiner())


def _triplet(classes: int, dim: int, temperature: float) -> nn.Module:
    miner = _library("miners").TripletMarginMiner(margin=0.2, type_of_triplets="semihard")
    return _Mined(_library("losses").TripletMarginLoss(margin=0.2), miner)


def _arcface(classes: int, dim: int, temperature: float) -> nn.Module:
    # Its scale is one over a temperature, and its margin in degrees.
    loss: nn.Module = _library("losses").ArcFaceLoss(classes, dim, margin=17.2, scale=1 / temperature)
    return loss


LOSSES: dict[str, Maker] = {
    "supervised_contrastive": lambda classes, dim, temperature: SupervisedContrastive(temperature),
    "proxy_anchor": _proxy_anchor,
    "multi_similarity": _multi_similarity,
    "triplet": _triplet,
    "arcface": _arcface,
}


class KnownOnly(nn.Module):
    """A loss that is asked only about photos whose label is known.

    Args:
        loss: maps (n, dim) embeddings and (n,) class indices to a loss.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Map (n, dim) embeddings and (n,) class indices, −1 where unknown, to a loss; 0 where fewer than two are known."""
        known = labels != UNKNOWN
        if int(known.sum()) < 2:
            return embeddings.sum() * 0.0
        value: torch.Tensor = self.loss(embeddings[known], labels[known])
        return value

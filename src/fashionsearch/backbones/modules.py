"""Small networks around others: a pooled feature map, and a linear layer that makes embeddings shorter."""

from __future__ import annotations

import torch
from torch import nn


class PooledFeatures(nn.Module):
    """VGG's convolutions and a global average: 512 numbers at any image size.

    The three fully connected layers are left out: they hold 86 % of the weights and tie the network to 224 px.
    Simonyan and Zisserman 2015, arXiv:1409.1556.
    """

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, H, W) to (n, 512)."""
        pooled: torch.Tensor = self.pool(self.features(images))
        return pooled


class Projected(nn.Module):
    """A network and a linear layer that makes its embeddings shorter, as an autoencoder's latents are.

    Args:
        module: maps (n, 3, H, W) to (n, dim).
        dim: length of its embeddings.
        shorter: length of the projected ones.
    """

    def __init__(self, module: nn.Module, dim: int, shorter: int) -> None:
        super().__init__()
        self.module = module
        self.projection = nn.Linear(dim, shorter)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, H, W) to (n, shorter)."""
        projected: torch.Tensor = self.projection(self.module(images))
        return projected

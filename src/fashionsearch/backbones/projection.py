"""A network with a linear layer that makes its embeddings shorter, as an autoencoder's latents are."""

from __future__ import annotations

import torch
from torch import nn


class Projected(nn.Module):
    """A network and a linear layer that makes its embeddings shorter.

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

"""The network that every runtime runs: normalisation, then the backbone."""

from __future__ import annotations

import torch
from torch import nn

from fashionsearch.images.preprocess import Preprocess


class Network(nn.Module):
    """uint8 pixels in, embeddings out: what is exported is the whole way from one to the other."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, module: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("mean", torch.tensor(preprocess.mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocess.std, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map (n, H, W, 3) uint8 to what the backbone returns for (n, 3, H, W) float32."""
        return self.embed(pixels.permute(0, 3, 1, 2).to(torch.float32) / 255)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, H, W) float32 in [0, 1] to what the backbone returns for them, normalised."""
        result: torch.Tensor = self.module(self.normalised(images))
        return result

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, H, W) float32 in [0, 1] to what the backbone takes."""
        return (images - self.mean) / self.std

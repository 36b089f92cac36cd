"""The interface of a runtime, and the network every runtime runs: normalisation, backbone, flattening."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fashionsearch.images.preprocess import Preprocess


class Runtime(Protocol):
    """Runs one network."""

    @property
    def name(self) -> str:
        """Return what the runtime is called."""
        ...

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map (n, H, W, 3) uint8 pixels to (n, dim) float32."""
        ...

    def expect(self, images: int) -> None:
        """Hear that about this many images are coming, before the first of them."""
        ...


class Network(nn.Module):
    """uint8 pixels in, embeddings out: what is exported is the whole way from one to the other."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, module: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocess.std).view(1, 3, 1, 1))

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

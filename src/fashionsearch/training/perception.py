"""What photos look like to a network that knows photos: the perceptual term of the autoencoder's loss."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from fashionsearch.backbones import create_backbone
from fashionsearch.runtimes.base import Network

# Feature maps at 1/8, 1/16 and 1/32 of the side, in timm's count; the embedding comes on top of them.
_STAGES = (2, 3, 4)


class PerceptualLoss(nn.Module):
    """How differently two batches of photos look to a frozen `efficientnet_lite0` with its ImageNet weights.

    The mean over three feature maps and the embedding of the squared distance of unit vectors, from 0 to 4 (Johnson et
    al. 2016, arXiv:1603.08155; unit vectors after Zhang et al. 2018, arXiv:1801.03924).

    Examples:
        >>> import torch
        >>> photos = torch.rand(2, 3, 64, 64)
        >>> float(PerceptualLoss()(photos, photos))
        0.0
    """

    def __init__(self) -> None:
        super().__init__()
        backbone = create_backbone("efficientnet_lite0", device="cpu", progress=False)
        self.network = Network(backbone.module.requires_grad_(False), backbone.preprocess)
        self.to(memory_format=torch.channels_last)
        self.eval()

    def train(self, mode: bool = True) -> PerceptualLoss:
        """Stay as it is: running statistics that moved would be another measure each step."""
        return super().train(False)

    def forward(self, drawn: torch.Tensor, photos: torch.Tensor) -> torch.Tensor:
        """Map two batches, (n, 3, H, W) float32 in [0, 1], to their mean distance; gradients reach the first alone."""
        with torch.no_grad():
            wanted = self._features(photos)
        distances = [
            (got - want).square().sum(dim=1).mean()
            for got, want in zip(self._features(drawn), wanted, strict=True)
        ]
        return torch.stack(distances).mean()

    def _features(self, photos: torch.Tensor) -> list[torch.Tensor]:
        module = cast(Any, self.network.module)
        last, maps = module.forward_intermediates(self.network.normalised(photos), indices=list(_STAGES))
        found = [*maps, module.forward_head(last, pre_logits=True)]
        return [functional.normalize(features, dim=1, eps=1e-4) for features in found]

"""What an autoencoder learns by: pixels, and how the photos look to another network."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from fashionsearch.autoencoder.decoder import Decoder
from fashionsearch.training.objectives import Figures, Objective


class ReconstructionObjective(Objective):
    """A decoder, trained by the mean squared error of pixels in [0, 1] and of what a linear layer tells from the latents.

    Args:
        decoder: maps (n, latent_dim) to (n, 3, H, W) in [0, 1].
        perceptual: weight of the perceptual error beside the pixels'; 0 leaves it out, and the targets unread.
        perceptual_dim: length of the vectors that the linear layer must tell; the targets are (n, perceptual_dim).
    """

    def __init__(self, decoder: Decoder, *, perceptual: float, perceptual_dim: int = 0) -> None:
        super().__init__()
        self.decoder = decoder
        self.describer = nn.Linear(decoder.linear.in_features, perceptual_dim) if perceptual else None
        self._weight = perceptual

    def targets_for(self, photos: torch.Tensor, targets: Any) -> Any:
        """Return the photos, which are drawn again, and the perceptual targets, which are those before augmentation."""
        return photos, targets

    def training_loss(self, embeddings: torch.Tensor, targets: Any) -> tuple[torch.Tensor, Figures]:
        """Return the loss of (n, latent_dim) latents, and the pixels' part of it."""
        loss, pixels = self._losses(embeddings, *targets)
        return loss, {"training_error": pixels.detach()}

    def validation_figures(self, embeddings: torch.Tensor, targets: Any) -> Figures:
        """Return the loss, and the pixels' part of it."""
        loss, pixels = self._losses(embeddings, *targets)
        return {"validation_loss": loss, "validation_error": pixels}

    def _losses(
        self, latents: torch.Tensor, photos: torch.Tensor, wanted: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = functional.mse_loss(self.decoder(latents), photos)
        if self.describer is None:
            return pixels, pixels
        return pixels + self._weight * functional.mse_loss(
            self.describer(latents).float(), wanted.float()
        ), pixels

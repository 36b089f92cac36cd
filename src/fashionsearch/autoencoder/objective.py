"""What an autoencoder learns by: pixels, and how the photos look to another network."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from fashionsearch.autoencoder.decoder import Decoder
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes.network import Network


class ReconstructingLearner(nn.Module):
    """An encoder and a decoder, trained by the mean squared error of pixels in [0, 1] and of how the photos look.

    Args:
        encoder: maps (n, 3, H, W) to (n, latent_dim).
        decoder: maps (n, latent_dim) to (n, 3, H, W) in [0, 1].
        preprocess: the encoder's normalisation.
        perceptual: weight of the looks beside the pixels; 0 leaves them out, and the targets unread.
        looks: how many numbers say how a photo looks; the targets are (n, looks).
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: Decoder,
        preprocess: Preprocess,
        *,
        perceptual: float,
        looks: int = 0,
    ) -> None:
        super().__init__()
        self.network = Network(encoder, preprocess)
        self.decoder = decoder
        self.describer = nn.Linear(decoder.linear.in_features, looks) if perceptual else None
        self._weight = perceptual

    @property
    def backbone(self) -> nn.Module:
        """The encoder."""
        return self.network.module

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, H, W) float32 in [0, 1] to the same, by way of the latents."""
        decoded: torch.Tensor = self.decoder(self.network.embed(photos))
        return decoded

    def training_loss(
        self, photos: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss of augmented photos, and the pixels' part; the looks are those before augmentation."""
        loss, pixels = self._losses(photos, targets)
        return loss, {"training_error": pixels.detach()}

    def validation_figures(self, photos: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the loss, and the pixels' part of it."""
        loss, pixels = self._losses(photos, targets)
        return {"validation_loss": loss, "validation_error": pixels}

    def _losses(self, photos: torch.Tensor, looks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        latents = self.network.embed(photos)
        pixels = functional.mse_loss(self.decoder(latents), photos)
        return pixels + self._weight * self.looks_error(latents, looks), pixels

    def looks_error(self, latents: torch.Tensor, looks: torch.Tensor) -> torch.Tensor:
        """Return the mean squared error of the looks that (n, latent_dim) tell; 0 where they are left out."""
        if self.describer is None:
            return latents.new_zeros(())
        return functional.mse_loss(self.describer(latents).float(), looks.float())

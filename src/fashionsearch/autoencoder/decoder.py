"""The way back: from a latent vector to an image."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_HALVINGS = 16


def _doubling(inputs: int, outputs: int) -> list[nn.Module]:
    return [
        nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class Decoder(nn.Module):
    """Maps (n, latent_dim) to (n, 3, H, W) in [0, 1]: a linear layer, three transposed convolutions, an upsampling.

    Args:
        latent_dim: length of a latent vector.
        image_size: (height, width) of the image.
        widths: channels at each resolution, the coarsest first.

    Examples:
        >>> import torch
        >>> Decoder(16, (80, 60))(torch.zeros(2, 16)).shape
        torch.Size([2, 3, 80, 60])
    """

    def __init__(
        self,
        latent_dim: int,
        image_size: tuple[int, int],
        widths: tuple[int, int, int, int] = (256, 128, 64, 32),
    ) -> None:
        super().__init__()
        self.image_size = image_size
        height, width = (-(-side // _HALVINGS) for side in image_size)
        self.linear = nn.Linear(latent_dim, widths[0] * height * width)
        self.body = nn.Sequential(
            nn.Unflatten(1, (widths[0], height, width)),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
            *_doubling(widths[0], widths[1]),
            *_doubling(widths[1], widths[2]),
            *_doubling(widths[2], widths[3]),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(widths[3], 3, 3, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Map (n, latent_dim) to (n, 3, H, W) float32 in [0, 1]."""
        images: torch.Tensor = self.body(self.linear(latents))
        if tuple(images.shape[2:]) != self.image_size:
            images = functional.interpolate(images, self.image_size, mode="bilinear", antialias=True)
        return images

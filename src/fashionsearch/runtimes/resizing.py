"""Pillow's resizing as two matrix products, for graphs that take photos of any size."""

from __future__ import annotations

import math
from collections.abc import Callable

import PIL
import torch
from torch import nn

from fashionsearch.images.preprocess import Preprocess

# From 13 on Pillow begins with the columns of a photo whose height is to shrink by more than twice what its width is, and
# before it with those of one that is to shrink and is over a hundred times as high as it is wide.
_BY_SHRINKING = int(PIL.__version__.split(".")[0]) >= 13
_SLENDER = 100


class Resize(nn.Module):
    """Squashes photos to one size as Pillow does, antialiased, in operations that every runtime knows.

    The weights are those of Pillow's `Resample.c`, whose kernels stretch with the reduction. Pillow rounds to whole levels
    after each of its two passes, and so does this. Its weights have 22 bits after the point, so a level that lies between
    two may be the other one here.

    Args:
        preprocess: its `image_size`, and its `interpolation`, one of `KERNELS`.

    Examples:
        >>> import torch
        >>> from fashionsearch import Preprocess
        >>> Resize(Preprocess((4, 6)))(torch.zeros((2, 31, 17, 3), dtype=torch.uint8)).shape
        torch.Size([2, 4, 6, 3])
    """

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.height, self.width = preprocess.image_size
        self.kernel = KERNELS[preprocess.interpolation]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map (n, h, w, 3) uint8 to (n, H, W, 3) uint8."""
        height, width = pixels.shape[1], pixels.shape[2]
        photos = pixels.permute(0, 3, 1, 2).to(torch.float32)
        across = _weights(width, self.width, self.kernel).T
        down = _weights(height, self.height, self.kernel)
        resized = _whole(down @ _whole(photos @ across))
        shorter = torch.full((1,), height - self.height)
        if _BY_SHRINKING:
            down_first = shorter > 2 * torch.full((1,), width - self.width).clamp(min=0)
        else:
            down_first = torch.logical_and(shorter > 0, torch.full((1,), height - _SLENDER * width) > 0)
        # Both ways and then a choice: with a branch in the graph OpenVINO 2026.4's first answer is wrong.
        resized = torch.where(down_first, _whole(_whole(down @ photos) @ across), resized)
        return resized.to(torch.uint8).permute(0, 2, 3, 1)


def _weights(given: int, wanted: int, kernel: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Return (wanted, given) float32: what each pixel of a line contributes to each of the resized line."""
    # In whole numbers, since float32 would lose the distance between the centres of pixels far to the right.
    source = (2 * torch.arange(given) + 1) * wanted
    target = (2 * torch.arange(wanted) + 1) * given
    apart = (source[None, :] - target[:, None]).to(torch.float32)
    weights = kernel(apart / (2 * torch.full((1,), given).clamp(min=wanted)))
    return weights / weights.sum(dim=1, keepdim=True)


def _whole(levels: torch.Tensor) -> torch.Tensor:
    return torch.floor(levels + 0.5).clamp(0, 255)


def _bilinear(distance: torch.Tensor) -> torch.Tensor:
    return (1 - distance.abs()).clamp(min=0)


def _bicubic(distance: torch.Tensor) -> torch.Tensor:
    """Return Keys' kernel with a = −0.5."""
    x = distance.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


def _lanczos(distance: torch.Tensor) -> torch.Tensor:
    """Return the sinc function, windowed by its wider self, of three lobes."""
    angle = math.pi * torch.where(distance == 0, 1.0, distance)
    wave = torch.sin(angle) / angle * (torch.sin(angle / 3) / (angle / 3))
    return torch.where(distance == 0, 1.0, torch.where(distance.abs() < 3, wave, 0.0))


KERNELS = {"bilinear": _bilinear, "bicubic": _bicubic, "lanczos": _lanczos}

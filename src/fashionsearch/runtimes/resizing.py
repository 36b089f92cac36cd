"""Pillow's resizing as two matrix products, for graphs that take photos of any size."""

from __future__ import annotations

import math
from collections.abc import Callable

import PIL
import torch
from torch import nn

from fashionsearch.preprocess import Preprocess

# From 13 on Pillow begins with the columns of a photo whose height is to shrink by more than twice what its width is.
_TALL_ONES_DOWN_FIRST = int(PIL.__version__.split(".")[0]) >= 13


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
        operands = (
            pixels.permute(0, 3, 1, 2).to(torch.float32),
            _weights(width, self.width, self.kernel).T,
            _weights(height, self.height, self.kernel),
        )
        if not _TALL_ONES_DOWN_FIRST:
            resized = _across_first(*operands)
        else:
            tall = height - self.height > 2 * torch.sym_max(width - self.width, 0)
            if torch.compiler.is_exporting():
                resized = torch.cond(tall, _down_first, _across_first, operands)
            else:
                resized = (_down_first if tall else _across_first)(*operands)
        return resized.to(torch.uint8).permute(0, 2, 3, 1)


def _across_first(photos: torch.Tensor, across: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    return _whole(down @ _whole(photos @ across))


def _down_first(photos: torch.Tensor, across: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    return _whole(_whole(down @ photos) @ across)


def _weights(given: int, wanted: int, kernel: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Return (wanted, given) float32: what each pixel of a line contributes to each of the resized line."""
    # Twice the distance of centres in units of 1 / wanted, whole numbers: photos are too wide for float32 to count in.
    source = (2 * torch.arange(given) + 1) * wanted
    target = (2 * torch.arange(wanted) + 1) * given
    stretch = 2 * torch.sym_max(given, wanted)
    weights = kernel((source[None, :] - target[:, None]).to(torch.float32) / stretch)
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

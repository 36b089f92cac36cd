"""The library's own small CNN, made to train well from scratch on a few thousand photos."""

from __future__ import annotations

import torch
from torch import nn


class _Residual(nn.Module):
    """Two 3 × 3 convolutions beside an identity, with the last normalisation starting at zero.

    He et al. 2016, arXiv:1512.03385; the zero start after Goyal et al. 2017, arXiv:1706.02677.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(width, width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        nn.init.zeros_(self.body[-1].weight)  # type: ignore[arg-type]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.relu(features + self.body(features))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def small_cnn(widths: tuple[int, ...] = (32, 64, 128, 256), *, grid: int = 1) -> nn.Module:
    """Return a residual CNN of about two million parameters that maps (n, 3, H, W) to (n, 256 · grid²).

    Each stage halves the height and width by max pooling; average pooling makes it fit any size from 32 px up.

    Args:
        widths: channels of the stages.
        grid: pool the last feature map to grid × grid places: 1 says what is there, more also where.

    Examples:
        >>> import torch
        >>> small_cnn()(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 256])
    """
    layers: list[nn.Module] = [*_convolution(3, widths[0])]
    for inputs, outputs in zip((widths[0], *widths), widths, strict=False):
        layers += [*_convolution(inputs, outputs), nn.MaxPool2d(2), _Residual(outputs)]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(grid), nn.Flatten())
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return network

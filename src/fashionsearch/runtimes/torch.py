"""PyTorch: runs every network on every device."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fashionsearch.device import Placement
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes.base import Network


class TorchRuntime:
    """Runs a network with torch, in the channels-last layout that convolutions prefer."""

    name = "torch"

    def __init__(self, module: nn.Module, preprocess: Preprocess, placement: Placement) -> None:
        network = Network(module, preprocess).eval().to(placement.device)
        self._network = network.to(memory_format=torch.channels_last)
        self._call: Callable[[torch.Tensor], torch.Tensor] = self._network
        self._placement = placement

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map (n, H, W, 3) uint8 pixels to (n, dim) float32."""
        self._network.eval()  # whoever trained the module since may have left it in training mode
        with torch.inference_mode(), self._placement.autocast():
            output = self._call(torch.from_numpy(pixels).to(self._placement.device, non_blocking=True))
        result: NDArray[np.float32] = output.float().cpu().numpy()
        return result

    def compiled(self, compiler: Callable[..., Any] = torch.compile) -> TorchRuntime:
        """Return the same network, to be compiled when it first runs, for that shape of batches."""
        twin = copy.copy(self)
        twin._call = compiler(self._network, dynamic=False)
        return twin

    def expect(self, images: int) -> None:
        """Torch needs no preparation."""

"""PyTorch: runs every network on every device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fashionsearch.device import Placement, torch_defaults
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes.network import Network


class TorchRuntime:
    """Runs a network with torch, in the channels-last layout that convolutions prefer."""

    name = "torch"

    def __init__(self, module: nn.Module, preprocess: Preprocess, placement: Placement) -> None:
        with torch_defaults():
            network = Network(module, preprocess).eval().to(placement.device)
            self._network = network.to(memory_format=torch.channels_last)
        self._placement = placement

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map (n, H, W, 3) uint8 pixels to (n, dim) float32; in fp32 where fp16 can't hold what comes."""
        self._network.eval()  # whoever trained the module since may have left it in training mode
        with torch_defaults(), torch.inference_mode():
            images = torch.from_numpy(pixels).to(self._placement.device, non_blocking=True)
            with self._placement.autocast():
                output = self._network(images).float()
            if self._placement.precision == "fp16" and not output.isfinite().all():
                output = self._network(images).float()
            result: NDArray[np.float32] = output.cpu().numpy()
        return result

    def expect(self, images: int) -> None:
        """Torch needs no preparation."""

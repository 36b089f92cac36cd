"""A backbone without weights to learn, so that what is tested is the head and not the network's patience."""

import pytest
import torch

import fashionsearch as fs
from fashionsearch.backbones import architectures


@pytest.fixture(scope="module", autouse=True)
def _pixel_grid():
    @fs.register_backbone("pixel_grid", image_size=32)
    def pixel_grid(weights):
        return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(8), torch.nn.Flatten())

    yield
    del architectures._registered["pixel_grid"]

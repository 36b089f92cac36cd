"""A backbone without weights to learn, so that what is tested is the head and not the network's patience."""

import pytest
import torch

import fashionsearch as fs


@pytest.fixture(scope="session", autouse=True)
def _colour_grid():
    @fs.register_backbone("colour_grid", image_size=32, replace=True)
    def colour_grid(weights):
        return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(8), torch.nn.Flatten())

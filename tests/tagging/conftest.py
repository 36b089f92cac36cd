"""What is tested here is the head, on a backbone without weights to learn."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _network(pixel_grid):
    pass

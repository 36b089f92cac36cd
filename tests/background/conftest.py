"""The network for masks, which `scripts/setup.sh` installs; a test that needs it fails where it isn't."""

import numpy as np
import pytest

import fashionsearch as fs


@pytest.fixture(scope="session")
def garment():
    """A drawn garment on plain ground, and where it is."""
    photo = fs.datasets.make_catalogue(8, seed=1).images[0]
    return photo, np.abs(photo.astype(int) - photo[0, 0]).max(axis=2) > 20


@pytest.fixture(scope="session")
def cluttered(garment):
    """The garment on a floor of boards, each of another brown."""
    photo, mask = garment
    rng = np.random.default_rng(0)
    boards = (
        np.array([150, 110, 70]) + rng.integers(-25, 25, (10, 1, 1)) + rng.integers(-12, 12, (10, 208, 1))
    )
    scene = np.repeat(boards, 28, axis=0).astype(np.uint8)
    scene[60 : 60 + photo.shape[0], 45 : 45 + photo.shape[1]][mask] = photo[mask]
    return scene

"""The network for masks, which `scripts/setup.sh` installs; a test that needs it fails where it isn't."""

import numpy as np
import pytest
from scipy import ndimage

import fashionsearch as fs


def coloured(photo):
    """Where a photo is blue: grounds are grey, and boards are brown."""
    return photo[:, :, 2].astype(int) - photo[:, :, 0] > 40


@pytest.fixture(scope="session")
def garment():
    """A drawn garment on plain ground, and where it is."""
    photo = next(
        image for image in fs.datasets.make_catalogue(30, seed=1).images if coloured(image).mean() > 0.15
    )
    return photo, ndimage.binary_closing(coloured(photo), iterations=4)


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

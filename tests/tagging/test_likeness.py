"""Where two photos are alike."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch.tagging.likeness import correspondence


@pytest.fixture(scope="module")
def backbone():
    return fs.create_backbone("fashion", progress=False)


@pytest.fixture(scope="module")
def photo():
    return fs.datasets.make_catalogue(1, seed=3).images[0]


def test_a_photo_is_like_itself_where_something_is(backbone, photo):
    found = correspondence(backbone, photo, photo)
    for heat in found.maps:
        assert heat.shape == photo.shape[:2]
        assert heat.dtype == np.float32
        assert 0 <= heat.min() <= heat.max() <= 1
    np.testing.assert_array_equal(*found.maps)
    assert found.pairs
    for one, other in found.pairs:
        assert one == other
    ground = np.abs(photo.astype(int) - photo[0, 0]).sum(axis=2) < 20
    assert found.maps[0][~ground].mean() > 2 * found.maps[0][ground].mean()


def test_a_garment_that_is_moved_is_found_where_it_went(backbone, photo):
    side = max(photo.shape[:2])
    here = np.full((2 * side, 2 * side, 3), photo[0, 0], np.uint8)
    there = here.copy()
    here[: photo.shape[0], : photo.shape[1]] = photo
    there[-photo.shape[0] :, -photo.shape[1] :] = photo
    found = correspondence(backbone, here, there)
    rows, columns = np.mgrid[: 2 * side, : 2 * side]
    for heat, is_after in zip(found.maps, (False, True), strict=True):
        middle = [(heat * places).sum() / heat.sum() for places in (rows, columns)]
        assert all((place > side) == is_after for place in middle)


@pytest.mark.parametrize("resize", ["pad", "crop"])
def test_places_are_those_of_the_photo_however_it_was_resized(resize, photo):
    backbone = fs.create_backbone("cnn", weights=None, image_size=64, resize=resize, progress=False)
    found = correspondence(backbone, photo, photo[:, ::-1])
    height, width = photo.shape[:2]
    for pair in found.pairs:
        for x, y in pair:
            assert 0 <= x < width
            assert 0 <= y < height


def test_an_empty_picture_is_like_nothing(backbone):
    white = np.full((60, 40, 3), 255, np.uint8)
    found = correspondence(backbone, white, white)
    assert all(np.isfinite(heat).all() for heat in found.maps)

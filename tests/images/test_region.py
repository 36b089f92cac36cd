"""A part of a photo, by shares of its sides."""

import numpy as np
import pytest

from fashionsearch import errors
from fashionsearch.images import cut

PHOTO = np.arange(10 * 20 * 3, dtype=np.uint8).reshape(10, 20, 3)


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ((0, 0, 1, 1), PHOTO),
        ((0.5, 0, 1, 0.5), PHOTO[:5, 10:]),
        ((0.1, 0.2, 0.9, 0.8), PHOTO[2:8, 2:18]),
        ((0.0, 0.0, 1e-9, 1e-9), PHOTO[:1, :1]),  # at least a pixel
        ((1 - 1e-9, 0, 1, 1), PHOTO[:, 19:]),
    ],
)
def test_a_region_is_cut_out(region, expected):
    part = cut(PHOTO, region)
    np.testing.assert_array_equal(part, expected)
    part[:] = 0  # a copy
    assert PHOTO.any()


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        ((0, 0, 1.1, 1), "lies outside the photo"),
        ((-0.1, 0, 1, 1), "lies outside the photo"),
        ((float("nan"), 0, 1, 1), "lies outside the photo"),
        ((0.5, 0, 0.5, 1), "has no area"),
        ((0, 0.8, 1, 0.2), "has no area"),
        ((0, 0, 1), "is not four numbers"),
        ("left", "is not four numbers"),
        (None, "is not four numbers"),
        (5, "is not four numbers"),
    ],
)
def test_what_is_no_region_is_refused(region, reason):
    with pytest.raises(errors.InputError, match=reason):
        cut(PHOTO, region)


def test_a_photo_that_cannot_be_read_is_named():
    with pytest.raises(errors.ImageError, match=r"missing\.jpg"):
        cut("missing.jpg", (0, 0, 1, 1), position=3)

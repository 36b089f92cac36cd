"""Photos are known by their pixels, whatever file they lie in."""

import numpy as np

from fashionsearch.images import pixels_digest, read_image


def test_the_same_pixels_have_the_same_digest_in_any_layout(photo):
    pixels = read_image(photo("PNG", seed=1))
    assert len(pixels_digest(pixels)) == 8
    assert pixels_digest(pixels) == pixels_digest(read_image(photo("PNG", seed=1, compress_level=0)))
    assert pixels_digest(pixels) == pixels_digest(np.asfortranarray(pixels))


def test_one_pixel_or_another_shape_changes_it():
    pixels = np.zeros((4, 6, 3), np.uint8)
    other = pixels.copy()
    other[3, 5, 2] = 1
    digests = {pixels_digest(each) for each in (pixels, other, pixels.reshape(6, 4, 3))}
    assert len(digests) == 3

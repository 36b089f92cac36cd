"""What a photo shows: on plain ground, before clutter, and where it can't be told."""

import numpy as np
import pytest
from PIL import Image

from fashionsearch.background import foreground, look, subject


def no_look(pixels, side):
    pytest.fail("plain ground needs no network")


def seen(mask):
    """Return a network that sees a mask, (H, W) of chances."""
    return lambda pixels, side: np.asarray(Image.fromarray(mask.astype(np.float32)).resize((side, side)))


def noise(height=120, width=90):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def block(top=30, bottom=90, left=20, right=60, chance=1.0):
    mask = np.zeros((120, 90))
    mask[top:bottom, left:right] = chance
    return mask


@pytest.mark.parametrize("colour", [255, 128, 20])
def test_plain_ground_is_taken_away_without_a_network(colour):
    photo = np.full((120, 90, 3), colour, np.uint8)
    photo[40:60, 20:70] = (200, 60, 60)
    photo[45:50, 30:40] = colour  # a hole is part of it
    found = subject(photo, no_look)
    assert found.was_plain
    assert found.pixels.shape[1] / found.pixels.shape[0] == pytest.approx(0.75, abs=0.02)
    shown = (found.pixels != 255).any(axis=2)
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == (20, 50)
    assert abs(rows[0] - (len(shown) - 1 - rows[-1])) <= 1
    assert abs(columns[0] - (shown.shape[1] - 1 - columns[-1])) <= 1


def test_where_a_thing_stands_in_its_photo_makes_no_difference():
    thing = noise(30, 40)
    one, other = np.full((120, 90, 3), 255, np.uint8), np.full((100, 200, 3), 255, np.uint8)
    one[5:35, 40:80] = other[60:90, 10:50] = thing
    assert np.array_equal(subject(one, no_look).pixels, subject(other, no_look).pixels)


def test_a_photo_of_nothing_shows_nothing():
    assert subject(np.full((50, 50, 3), 255, np.uint8), no_look) is None


def test_what_the_network_sees_is_laid_on_white():
    photo = noise()
    found = subject(photo, seen(block()))
    assert not found.was_plain
    middle = found.pixels[found.pixels.shape[0] // 2, found.pixels.shape[1] // 2]
    assert np.array_equal(middle, photo[60, 40])
    assert (found.pixels[0] == 255).all()
    assert (found.pixels[-1] == 255).all()


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((120, 90)),
        block(30, 35, 20, 25),  # tiny
        block(0, 120, 0, 90),  # everything
        block(0, 120, 0, 70),  # out of the photo on three sides
        block(chance=0.6),  # vague
    ],
)
def test_what_can_not_be_relied_on_is_nothing(mask):
    assert subject(noise(), seen(mask)) is None


def test_a_pair_is_one_subject_and_a_speck_is_none():
    mask = block(30, 90, 10, 40) + block(30, 80, 50, 80)
    assert foreground._main_parts(mask > 0.5).sum() == (mask > 0.5).sum()
    speck = mask + block(100, 103, 10, 13)
    assert foreground._main_parts(speck > 0.5).sum() == (mask > 0.5).sum()


def test_the_seam_is_left_out_but_not_what_is_all_seam():
    thin = np.zeros((120, 90), bool)
    thin[10:110, 40] = True
    assert np.array_equal(foreground._without_seam(thin), thin)
    wide = block() > 0
    assert foreground._without_seam(wide).sum() == 58 * 38


def test_a_garment_is_found_before_clutter(garment, cluttered):
    photo, _ = garment
    found = subject(cluttered, look)
    assert not found.was_plain
    expected = subject(photo, no_look)
    sizes = expected.pixels.shape[1::-1]
    resized = np.asarray(Image.fromarray(found.pixels).resize(sizes, Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(resized - expected.pixels).mean() < 25


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 900), (2000, 1500)])
def test_photos_of_any_size_are_taken(shape):
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    found = subject(photo, lambda pixels, side: np.ones((side, side), np.float32))
    assert found is None or found.was_plain
    assert max(foreground._small(photo).shape) <= max(foreground.LONGEST, 3)

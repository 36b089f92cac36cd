"""What a look at photos finds without a network."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fashionsearch.auditing.photos import broken_photos, look_at


def pattern(seed, size=(60, 80)):
    generator = np.random.default_rng(seed)
    return Image.fromarray(
        generator.integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
    ).resize(size, Image.Resampling.NEAREST)


def broken(images, likeness=()):
    rows, looks, failures = look_at(images, progress=False)
    sources = np.full(len(images), None)
    return {
        each.row: each for each in broken_photos(rows, looks, failures, np.asarray(likeness, float), sources)
    }


@pytest.fixture
def photos():
    return [np.asarray(pattern(seed)) for seed in range(30)]


def test_each_fault_is_named_and_good_photos_are_not(photos):
    photos[3] = np.asarray(pattern(3).filter(ImageFilter.GaussianBlur(8)))
    photos[5] = np.full((80, 60, 3), 250, np.uint8)
    photos[7] = np.asarray(pattern(7, size=(12, 16)))
    photos[9] = "nowhere.jpg"
    found = broken(photos)
    assert {row: each.reason for row, each in found.items()} == {
        3: "Blurred",
        5: "Nearly one colour",
        7: "Tiny: 12 pixels",
        9: "Can't be read: there is no such file",
    }
    assert all(0.5 <= each.score <= 1 for each in found.values())
    assert next(iter(found)) == 9  # what can't be read at all comes first


def test_a_stranger_is_named(photos):
    likeness = np.full(30, 0.7) + np.linspace(-0.05, 0.05, 30)
    assert broken(photos, likeness) == {}
    likeness[4] = 0.1
    assert {row: each.reason for row, each in broken(photos, likeness).items()} == {4: "Unlike all others"}


def test_of_a_few_photos_nothing_is_usual(photos):
    photos[3] = np.asarray(pattern(3).filter(ImageFilter.GaussianBlur(8)))
    assert broken(photos[:8]) == {}

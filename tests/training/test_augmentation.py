"""`Augmentation`: changes that a seed decides, each doing what its name says."""

import numpy as np
import pytest
import torch
from scipy import ndimage

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.training.augmentation import AUGMENTATIONS


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rotation", -1),
        ("rotation", 181),
        ("zoom", 1),
        ("shift", "a"),
        ("colour", 1.1),
        ("erase", True),
        ("light", 0.6),
        ("blur", -0.1),
        ("background", 2),
        ("compression", "much"),
    ],
)
def test_an_augmentation_out_of_range_is_refused(field, value):
    with pytest.raises(errors.InputError, match=f"{field}={value!r}"):
        fs.Augmentation(**{field: value})


PHOTO = fs.datasets.make_catalogue(1, seed=3).images[0]


def test_the_same_seed_gives_the_same_photo_and_disturbs_nobody():
    strong = AUGMENTATIONS["wild"]
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (strong.apply(PHOTO, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.uint8
    assert first.shape == PHOTO.shape


def test_none_is_nothing():
    assert np.array_equal(AUGMENTATIONS["none"].apply(PHOTO, seed=0), PHOTO)


def test_a_flip_is_a_flip():
    flip = fs.Augmentation(rotation=0, zoom=0, shift=0)
    seen = {flip.apply(PHOTO, seed=seed).tobytes() for seed in range(20)}
    assert seen == {PHOTO.tobytes(), np.ascontiguousarray(PHOTO[:, ::-1]).tobytes()}


def test_new_corners_are_white():
    black = np.zeros((40, 40, 3), np.uint8)
    turned = fs.Augmentation(rotation=45, zoom=0, shift=0, horizontal_flip=False)
    corners = [turned.apply(black, seed=seed)[0, 0].tolist() for seed in range(10)]
    assert [255, 255, 255] in corners


def test_a_white_photo_stays_white():
    white = np.full((40, 30, 3), 255, np.uint8)
    for seed in range(10):
        assert fs.Augmentation(rotation=30, zoom=0.3, shift=0.2).apply(white, seed=seed).min() == 255


def test_colour_is_left_alone_unless_asked_for():
    grey = np.full((40, 40, 3), 128, np.uint8)
    inside = [AUGMENTATIONS["light"].apply(grey, seed=seed)[20, 20].tolist() for seed in range(10)]
    assert inside == [[128, 128, 128]] * 10
    changed = [fs.Augmentation(colour=0.5).apply(grey, seed=seed)[20, 20].tolist() for seed in range(10)]
    assert len({tuple(pixel) for pixel in changed}) > 5


def only(**options):
    return fs.Augmentation(rotation=0, zoom=0, shift=0, horizontal_flip=False, **options)


def garment():
    photo = np.full((60, 40, 3), 255, np.uint8)
    photo[15:45, 10:30] = (180, 40, 40)
    photo[25:30, 15:20] = 255  # a white spot inside
    return photo


def test_a_new_background_leaves_the_garment_as_it_is():
    changed = only(background=1.0).apply(garment(), seed=3)
    np.testing.assert_array_equal(changed[15:45, 10:30], garment()[15:45, 10:30])
    assert (changed[:15] == 255).all(axis=2).mean() < 0.1
    black = np.zeros((20, 20, 3), np.uint8)
    np.testing.assert_array_equal(only(background=1.0).apply(black, seed=3), black)


def test_light_moves_red_and_blue_apart():
    grey = np.full((10, 10, 3), 100, np.uint8)
    pixels = [only(light=0.3).apply(grey, seed=seed)[0, 0].tolist() for seed in range(20)]
    assert {green for _, green, _ in pixels} == {100}
    assert max(red for red, _, _ in pixels) <= 115
    assert any(red > 105 > 95 > blue for red, _, blue in pixels)
    assert any(red < 95 < 105 < blue for red, _, blue in pixels)


def test_a_blur_blurs_and_compression_leaves_traces():
    noise = np.random.default_rng(0).integers(0, 256, (60, 40, 3), dtype=np.uint8)

    def detail(photo):
        return np.abs(ndimage.laplace(photo.astype(float), axes=(0, 1))).mean()

    assert detail(only(blur=1.0).apply(noise, seed=0)) < 0.5 * detail(noise)
    traced = only(compression=1.0).apply(garment(), seed=0)
    assert 0 < np.abs(traced.astype(int) - garment()).mean() < 20


def test_a_share_of_the_photos_is_changed():
    changed = [
        not np.array_equal(only(blur=0.3).apply(garment(), seed=seed), garment()) for seed in range(200)
    ]
    assert 0.2 < np.mean(changed) < 0.4

"""A backbone's preprocessing: sizes, borders, values, and what is refused."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from fashionsearch import errors
from fashionsearch.images.preprocess import Preprocess


def test_normalised_values_are_those_of_torchvision():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    result = Preprocess(image_size=(6, 5))(pixels)
    functional = pytest.importorskip("torchvision.transforms.functional")
    expected = functional.normalize(
        functional.to_tensor(pixels), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result, expected.numpy(), atol=1e-6)


def test_golden_values():
    result = Preprocess(image_size=(1, 1), mean=(0.5, 0.25, 0), std=(0.5, 0.25, 2))(
        np.uint8([[[255, 0, 102]]])
    )
    assert result.ravel().tolist() == pytest.approx([1.0, -1.0, 0.2])


def test_squash_takes_the_whole_photo():
    halves = np.zeros((8, 64, 3), np.uint8)
    halves[:, 32:] = 255
    result = Preprocess(image_size=(4, 4), interpolation="nearest").resized(halves)
    assert result[:, :, 0].tolist() == [[0, 0, 255, 255]] * 4


def test_shrinking_is_antialiased_as_torch_does_it():
    pixels = np.random.default_rng(1).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    for method in ("bilinear", "bicubic"):
        result = Preprocess(image_size=(20, 30), interpolation=method).resized(pixels).astype(float)
        expected = torch.nn.functional.interpolate(tensor, (20, 30), mode=method, antialias=True)[0]
        assert np.abs(result - expected.permute(1, 2, 0).clamp(0, 255).numpy()).max() < 2


@pytest.mark.parametrize(("shape", "inner"), [((10, 40), np.s_[15:25, :]), ((40, 10), np.s_[:, 15:25])])
def test_pad_keeps_proportions_on_white(shape, inner):
    result = Preprocess(image_size=(40, 40), resize="pad").resized(np.zeros((*shape, 3), np.uint8))
    expected = np.full((40, 40, 3), 255)
    expected[inner] = 0
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("flip", [False, True])
def test_crop_takes_the_middle(flip):
    stripes = np.zeros((10, 30, 3), np.uint8)
    stripes[:, 10:20] = 200
    picture = stripes.transpose(1, 0, 2) if flip else stripes
    assert (Preprocess(image_size=(10, 10), resize="crop").resized(picture) == 200).all()


@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1), (1, 1), (30, 20)])
def test_extreme_proportions(resize, shape):
    result = Preprocess(image_size=(20, 30), resize=resize)(np.zeros((*shape, 3), np.uint8))
    assert result.shape == (3, 20, 30)


def test_a_photo_of_the_right_size_is_left_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    for resize in ("squash", "pad", "crop"):
        np.testing.assert_array_equal(Preprocess(image_size=(20, 30), resize=resize).resized(pixels), pixels)


def test_any_image_will_do(photo):
    preprocess = Preprocess(image_size=(16, 16))
    data = photo("PNG")
    picture = Image.open(io.BytesIO(data))
    np.testing.assert_array_equal(preprocess(data), preprocess(np.array(picture)))
    with pytest.raises(errors.ImageError, match="there is no such file"):
        preprocess("nowhere.jpg")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": 224}, r"image_size=224 is not \(height, width\)"),
        ({"image_size": (224,)}, "image_size"),
        ({"image_size": (224, 224, 3)}, "image_size"),
        ({"image_size": (0, 5)}, "image_size"),
        ({"image_size": (5, 4097)}, "image_size"),
        ({"image_size": (5.0, 5)}, "image_size"),
        ({"image_size": (True, 5)}, "image_size"),
        ({"image_size": "ab"}, "image_size"),
        ({"image_size": None}, "image_size"),
        ({"mean": 0.5}, "mean=0.5 is not three finite numbers"),
        ({"mean": (0.1, 0.2)}, "mean"),
        ({"mean": ("a", "b", "c")}, "mean"),
        ({"mean": (0, 0, float("nan"))}, "mean"),
        ({"std": (1, 1, float("inf"))}, "std"),
        ({"std": (0, 1, 1)}, "must be positive"),
        ({"std": (1, -1, 1)}, "must be positive"),
        ({"interpolation": "bicubick"}, "Did you mean 'bicubic'"),
        ({"interpolation": 3}, "interpolation=3 is not one of nearest"),
        ({"resize": ["pad"]}, "resize"),
    ],
)
def test_what_is_refused(options, words):
    with pytest.raises(errors.InputError, match=words):
        Preprocess(**{"image_size": (8, 8), **options})


def test_to_dict_and_back_through_json():
    preprocess = Preprocess(
        (20, 30), mean=(0.1, 0.2, 0.3), std=(1, 2, 3), interpolation="lanczos", resize="pad"
    )
    assert preprocess.to_dict() == {
        "image_size": [20, 30],
        "mean": [0.1, 0.2, 0.3],
        "std": [1, 2, 3],
        "interpolation": "lanczos",
        "resize": "pad",
    }
    back = Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict())))
    assert back == preprocess
    assert hash(back) == hash(preprocess)


def test_lists_and_numpy_numbers_are_the_same_preprocessing():
    loose = Preprocess([np.int64(20), 30], mean=list(np.float64([0.5, 0.25, 0])), std=[1, 1, 1])
    assert loose == Preprocess((20, 30), mean=(0.5, 0.25, 0.0), std=(1.0, 1.0, 1.0))
    json.dumps(loose.to_dict())


@pytest.mark.parametrize("saved", [{}, {"image_size": [8, 8]}])
def test_from_dict_names_what_is_missing(saved):
    with pytest.raises(errors.InputError, match=r"lacks .*std"):
        Preprocess.from_dict(saved)

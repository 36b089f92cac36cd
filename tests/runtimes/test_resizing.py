"""Resizing in a graph equals Pillow's, up to levels that lie between two."""

import numpy as np
import onnxruntime
import pytest
import torch

import fashionsearch as fs
from fashionsearch.runtimes import graph
from fashionsearch.runtimes.resizing import KERNELS, Resize

SIZES = [
    (224, 224), (80, 60), (60, 80), (1, 1), (1, 500), (500, 1), (900, 3), (3, 900), (501, 333), (333, 501), (7, 9), (33, 17),
    (300, 300), (223, 225), (700, 500), (1000, 96), (64, 192), (129, 97), (130, 97),
]  # fmt: skip


def noise(height, width, n=1):
    return np.random.default_rng(height * 4096 + width).integers(
        0, 256, (n, height, width, 3), dtype=np.uint8
    )


def check(got, expected, kernel):
    apart = np.abs(got.astype(int) - expected)
    # A difference of one in the first pass is sometimes two after the second.
    assert apart.max() <= 2
    assert (apart > 1).mean() < 1e-4
    # Where two sizes have a common divisor, bilinear weights put many levels exactly between two.
    assert (apart > 0).mean() < (0.08 if kernel == "bilinear" else 0.003)


@pytest.mark.parametrize("target", [(224, 224), (64, 96), (33, 17)], ids=str)
@pytest.mark.parametrize("kernel", KERNELS)
def test_it_gives_what_pillow_gives(kernel, target):
    preprocess = fs.Preprocess(target, interpolation=kernel)
    resize = Resize(preprocess)
    for size in SIZES:
        photo = noise(*size)
        check(resize(torch.from_numpy(photo)).numpy()[0], preprocess.resized(photo[0]), kernel)


@pytest.mark.parametrize("kernel", KERNELS)
def test_photos_of_the_right_size_stay_as_they_are(kernel):
    photos = noise(64, 96, n=2)
    resized = Resize(fs.Preprocess((64, 96), interpolation=kernel))(torch.from_numpy(photos))
    np.testing.assert_array_equal(resized.numpy(), photos)


def test_as_a_graph_it_takes_any_size_and_number():
    preprocess = fs.Preprocess((48, 64), interpolation="lanczos")
    session = onnxruntime.InferenceSession(
        graph.export_resizing(preprocess), providers=["CPUExecutionProvider"]
    )
    for number, size in enumerate(SIZES):
        photos = noise(*size, n=1 + number % 3)
        (resized,) = session.run(None, {"pixels": photos})
        check(resized, np.stack([preprocess.resized(photo) for photo in photos]), "lanczos")

"""The histogram of colours, and the network that joins it with another's embedding."""

import numpy as np
import pytest
import torch

import fashionsearch as fs
from fashionsearch.backbones.embedder import ColourHistogram, Embedder, Projection, WithColours

HALVES = fs.Preprocess((64, 48), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def histogram(photo, preprocess=HALVES):
    pixels = torch.from_numpy(np.asarray(photo, np.float32) / 255).permute(2, 0, 1)[None]
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocess.mean, preprocess.std))
    return ColourHistogram(preprocess)((pixels - mean) / std)[0].numpy()


def garment(colour, ground=(255, 255, 255)):
    photo = np.full((64, 48, 3), ground, np.uint8)
    photo[16:48, 12:36] = colour
    return photo


def test_white_ground_counts_for_nothing():
    red, larger = garment((200, 20, 20)), garment((200, 20, 20))
    larger[8:56, 6:42] = (200, 20, 20)
    blue = garment((20, 20, 200))
    like, unlike = (np.abs(histogram(red) - histogram(other)).max() for other in (larger, blue))
    assert like < 0.1
    assert unlike > 0.3
    assert histogram(np.full((64, 48, 3), 255, np.uint8)).max() < 0.02


def test_the_middle_counts_by_itself():
    whole, middle = np.split(histogram(garment((200, 20, 20), ground=(20, 120, 20))), 2)
    share = (middle**2).argmax() == (histogram(garment((200, 20, 20)))[64:] ** 2).argmax()
    assert share
    assert whole.argmax() != middle.argmax()


def test_normalisation_changes_nothing():
    imagenet = fs.Preprocess((64, 48))
    np.testing.assert_allclose(
        histogram(garment((90, 160, 30))), histogram(garment((90, 160, 30)), imagenet), atol=1e-5
    )


def test_it_can_be_learned_through():
    photo = torch.ones((1, 3, 64, 48), requires_grad=True)
    ColourHistogram(HALVES)(photo).sum().backward()
    assert torch.isfinite(photo.grad).all()


@pytest.mark.parametrize("hidden", [0, 12])
def test_an_embedder_is_exported_saved_and_read(hidden, tmp_path, shared_cache):
    start = fs.create_backbone("cnn", weights=None, image_size=48, random_state=0, progress=False)
    features = WithColours(start.module, start.preprocess)
    torch.manual_seed(0)
    projection = Projection(start.dim + features.histogram.dim, 10, hidden=hidden)
    backbone = start.variant(module=Embedder(features, projection), origin="trained", runtime="torch")
    photos = list(np.random.default_rng(0).integers(0, 256, (4, 50, 40, 3), dtype=np.uint8))
    photos += [garment((0, 200, 0)), np.full((50, 40, 3), 255, np.uint8), np.zeros((50, 40, 3), np.uint8)]
    embedded = backbone.embed(photos)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(backbone.variant(runtime="onnx").embed(photos), embedded, atol=1e-4)
    backbone.save(tmp_path / "backbone")
    loaded = fs.Backbone.load(tmp_path / "backbone", runtime="torch")
    np.testing.assert_array_equal(loaded.embed(photos), embedded)
    assert loaded.fingerprint == backbone.fingerprint


def test_another_size_gives_nearly_the_same_histogram():
    large = np.kron(garment((200, 20, 20)), np.ones((3, 3, 1), np.uint8))
    small, other = histogram(garment((200, 20, 20))), histogram(large, fs.Preprocess((192, 144)))
    assert np.abs(small - other).max() < 0.05

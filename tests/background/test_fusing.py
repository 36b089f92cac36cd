"""An encoder that sees each photo twice: its weights, order, failures and cache."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch.background import fusing
from fashionsearch.background.foreground import Subject
from fashionsearch.errors import ImageError

PHOTOS = fs.datasets.make_catalogue(7, seed=0).images


class Means:
    """Photos are their mean colour."""

    dim = 3

    def embed(self, images):
        return np.array([np.asarray(image, np.float32).mean(axis=(0, 1)) for image in images]).reshape(-1, 3)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def plain(*colour):
    return np.full((8, 8, 3), colour, np.uint8)


@pytest.fixture
def told(monkeypatch):
    """Say of each photo by its first pixel what it shows: nothing, a subject on plain ground, or before clutter."""

    def subject(pixels, look):
        kind = int(pixels[0, 0, 0])
        return None if kind == 0 else Subject(plain(0, 0, 200), was_plain=kind == 1)

    monkeypatch.setattr(fusing, "subject", subject)


def test_the_whole_photo_always_counts(told):
    photos = [plain(0, 100, 0), plain(1, 100, 0), plain(2, 100, 0)]
    found = fusing.fuse(Means(), photos)
    whole = unit(Means().embed(photos))
    subject = np.array([0, 0, 1])
    np.testing.assert_allclose(found[0], whole[0], atol=1e-6)
    np.testing.assert_allclose(found[1], 0.5 * whole[1] + 0.5 * subject, atol=1e-6)
    np.testing.assert_allclose(found[2], 0.1 * whole[2] + 0.9 * subject, atol=1e-6)
    assert found.dtype == np.float32


def test_a_similarity_is_the_mean_of_both(told):
    item = unit(np.array([[3.0, 4, 5]]))[0]
    photo = plain(1, 90, 20)
    found = fusing.fuse(Means(), photo) @ item
    assert found == pytest.approx(0.5 * unit(Means().embed([photo]))[0] @ item + 0.5 * item[2], rel=1e-5)


def test_order_pieces_and_iterators(told, monkeypatch):
    photos = [plain(n % 3, 10 * n, 5) for n in range(11)]
    whole = fusing.fuse(Means(), photos)
    monkeypatch.setattr(fusing, "_PIECE", 4)
    np.testing.assert_allclose(fusing.fuse(Means(), photos), whole, atol=1e-6)
    np.testing.assert_allclose(fusing.fuse(Means(), iter(photos)), whole, atol=1e-6)
    np.testing.assert_allclose(fusing.fuse(Means(), photos[3]), whole[3:4], atol=1e-6)
    assert fusing.fuse(Means(), []).shape == (0, 3)


@pytest.mark.parametrize("encoder", [Means(), "cnn"])
def test_photos_that_can_not_be_read_are_named_by_their_place(encoder, told, monkeypatch):
    if encoder == "cnn":
        encoder = fs.create_backbone("cnn", weights=None, runtime="torch", progress=False)
    monkeypatch.setattr(fusing, "_PIECE", 2)
    photos = [PHOTOS[0], PHOTOS[1], PHOTOS[2], "nowhere.jpg", PHOTOS[3]]
    if not isinstance(encoder, Means):
        with pytest.raises(ImageError, match=r"image 3 \(nowhere.jpg\)"):
            fusing.fuse(encoder, photos)
    batches = list(fusing.Fused(encoder).embed_batches(photos, on_error="skip"))
    assert np.concatenate([batch.positions for batch in batches]).tolist() == [0, 1, 2, 4]
    assert [failure.position for batch in batches for failure in batch.failures] == [3]


def test_a_cache_gives_what_was_computed(tmp_path):
    encoder = fs.create_backbone("cnn", weights=None, random_state=0, runtime="torch", progress=False)
    cache = fs.EmbeddingCache(tmp_path / "cache.sqlite")
    first = np.concatenate(
        [batch.vectors for batch in fusing.Fused(encoder).embed_batches(PHOTOS, cache=cache)]
    )
    again = np.concatenate(
        [batch.vectors for batch in fusing.Fused(encoder).embed_batches(PHOTOS, cache=cache)]
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first, fusing.fuse(encoder, PHOTOS), atol=1e-5)


def test_a_thing_before_clutter_is_found(garment, cluttered):
    photo, _ = garment
    encoder = fs.create_backbone("fashion", progress=False)
    item = fusing.fuse(encoder, photo)[0]
    raw = unit(encoder.embed(cluttered))[0] @ unit(encoder.embed(photo))[0]
    fused = unit(fusing.fuse(encoder, cluttered))[0] @ (item / np.linalg.norm(item))
    assert fused > raw + 0.1

"""The encoder of an index: recognised, replaced only by one that embeds alike, saved and restored."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.encoder import AdaptedEncoder, as_encoder
from fashionsearch.index import encoders
from fashionsearch.index.rows import ItemId

PHOTOS = np.random.default_rng(0).integers(0, 256, (4, 40, 30, 3), dtype=np.uint8)


def made(image_size=32, seed=0, name="cnn"):
    return fs.create_backbone(name, weights=None, image_size=image_size, random_state=seed, runtime="torch")


@pytest.fixture(scope="module")
def backbone():
    return made()


class Means:
    dim = 3

    def __init__(self, gain=1.0):
        self.gain = np.array([1, gain, 1], np.float32)

    def embed(self, images):
        return np.stack([image.mean((0, 1)) for image in fs.images.iterate(images)]) * self.gain


class Doubled(fs.Backbone):
    def embed(self, images, **options):
        return 2 * super().embed(images, **options)


def test_only_what_offers_everything_is_used_as_it_is(backbone):
    assert as_encoder(backbone) is backbone
    assert isinstance(as_encoder(Means()), AdaptedEncoder)
    doubled = Doubled(backbone.module, backbone.preprocess, runtime="torch")
    assert isinstance(as_encoder(doubled), AdaptedEncoder), "the rest would tell of other embeddings"
    batches = list(as_encoder(doubled).embed_batches(PHOTOS))
    np.testing.assert_allclose(batches[0].vectors, 2 * backbone.embed(PHOTOS))


def test_an_adapted_encoder_skips_what_cannot_be_read():
    (batch,) = as_encoder(Means()).embed_batches([*PHOTOS, "nowhere.jpg"], on_error="skip")
    assert batch.positions.tolist() == [0, 1, 2, 3]
    assert [failure.position for failure in batch.failures] == [4]
    with pytest.raises(errors.InputError, match="neither 'raise' nor 'skip'"):
        list(as_encoder(Means()).embed_batches(PHOTOS, on_error="ignore"))


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (lambda: made(48), "its image size is 48 px and not 32 px"),
        (lambda: made(seed=1), "its weights are others"),
        (lambda: made(name="cnn_grid"), "its name is 'cnn_grid', its dim is 4096 and not 256"),
        (lambda: Means(), "its name is 'Means', its dim is 3 and not 256"),
    ],
)
def test_another_encoder_is_refused_and_the_message_says_what_differs(other, difference, backbone, tmp_path):
    index = fs.VisualIndex(backbone, progress=False)
    index.add(PHOTOS)
    index.save(tmp_path / "index")
    with pytest.raises(errors.EncoderMismatchError, match=difference):
        fs.VisualIndex.load(tmp_path / "index", encoder=other())
    with pytest.raises(errors.EncoderMismatchError):
        index.encoder = other()
    with pytest.raises(errors.InputError, match="keep the encoder"):
        index.encoder = None
    assert index.encoder is backbone


def test_an_encoder_that_embeds_alike_may_take_anothers_place(backbone, tmp_path):
    index = fs.VisualIndex(backbone, progress=False)
    index.encoder = made(seed=1)  # nothing came from the first one
    index.encoder = backbone
    index.add(PHOTOS)
    same = made()
    index.encoder = same
    assert index.encoder is same
    index.save(tmp_path / "index")
    assert index.search(PHOTOS, k=1).ids[:, 0].tolist() == [0, 1, 2, 3]


def test_an_encoder_of_ones_own_is_known_by_what_it_embeds():
    index = fs.VisualIndex(Means(), progress=False)
    index.add(PHOTOS)
    index.encoder = Means()
    with pytest.raises(errors.EncoderMismatchError):
        index.encoder = Means(gain=3.0)


def test_an_index_of_vectors_may_be_given_an_encoder(backbone):
    index = fs.VisualIndex(dim=backbone.dim, progress=False)
    index.add_vectors(backbone.embed(PHOTOS))
    with pytest.raises(errors.EncoderMismatchError, match="dim is 3, and the index's is 256"):
        index.encoder = Means()
    index.encoder = backbone
    assert index.search(PHOTOS, k=1).ids[:, 0].tolist() == [0, 1, 2, 3]


def test_another_resize_is_named(backbone):
    index = fs.VisualIndex(backbone, progress=False)
    index.add(PHOTOS)
    padded = backbone.variant(preprocess=dataclasses.replace(backbone.preprocess, resize="pad"))
    with pytest.raises(errors.EncoderMismatchError, match="its resize is pad and not squash"):
        index.encoder = padded


class Slotted:
    """An encoder without a __dict__, and perhaps with a fault."""

    __slots__ = ("dim", "fault")

    def __init__(self, fault=0):
        self.dim, self.fault = 3, fault

    def embed(self, images):
        return np.ones((len(list(images)) + self.fault, 3), np.float32)


def test_an_encoder_with_slots_serves_an_index():
    index = fs.VisualIndex(Slotted())
    photos = [np.zeros((4, 4, 3), np.uint8)] * 2
    index.add(photos)
    assert index.search(photos[0], k=1).ids.tolist() == [[0]]


def test_an_encoder_that_loses_photos_is_refused_by_add_and_by_search():
    encoder = Slotted()
    index = fs.VisualIndex(encoder)
    photos = [np.zeros((4, 4, 3), np.uint8)] * 2
    index.add(photos)
    encoder.fault = -1
    with pytest.raises(errors.InputError, match=r"1 .*2"):
        index.search(photos)
    with pytest.raises(errors.InputError, match=r"1 .*2"):
        index.add(photos)


def test_a_photo_whose_embedding_is_known_is_not_embedded_again(backbone):
    index = fs.VisualIndex(backbone, progress=False)
    index.add(PHOTOS, ids=list("abcd"))
    vectors = backbone.embed(PHOTOS)
    found = index.search([encoders.Embedded(vector) for vector in vectors[:2]], k=2)
    assert np.array_equal(found.ids, index.search(PHOTOS[:2], k=2).ids)
    liked = index.search(like=[encoders.Embedded(vectors[2]), "a"], k=2)
    assert np.array_equal(liked.ids, index.search(like=[PHOTOS[2], "a"], k=2).ids)


def test_an_id_can_be_told_from_a_path(backbone, tmp_path):
    index = fs.VisualIndex(backbone, progress=False)
    index.add(PHOTOS, ids=list("abcd"))
    Image.fromarray(PHOTOS[0]).save(tmp_path / "photo.png")
    path = str(tmp_path / "photo.png")
    assert index.search(like=[path]).counts.sum()
    with pytest.raises(errors.UnknownIdError):
        index.search(like=[ItemId(path)])
    assert index.search(like=[ItemId("a")], k=1).counts.tolist() == [1]

"""Photos that a shipped network learned from are known by their pixels, and measured on by nothing."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import fashionsearch as fs
from fashionsearch import errors, pretrained
from fashionsearch.images import digests
from fashionsearch.pretrained import learned


@pytest.fixture(scope="module")
def table():
    return fs.datasets.make_catalogue(30, seed=9)


@pytest.fixture
def taught(table, monkeypatch):
    """Let `fashion` have learned from the first ten photos."""
    shipped = pretrained.open_shipped("fashion")
    arrays = {**shipped.arrays, "learned": np.sort(digests(table.images[:10]))}
    monkeypatch.setattr(learned, "open_shipped", lambda name: dataclasses.replace(shipped, arrays=arrays))


def png(pixels, **texts):
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def test_a_copy_with_other_metadata_is_the_same_photo(taught, table):
    pixels = np.asarray(table.images[0])
    copies = [pixels, png(pixels), png(pixels, Author="somebody else", Comment="sold")]
    assert len({bytes(copy) if isinstance(copy, bytes) else b"" for copy in copies}) == 3
    assert learned.learned_from("fashion", copies).all()
    changed = pixels.copy()
    changed[3, 3, 0] ^= 1
    assert not learned.learned_from("fashion", [changed, b"no photo"]).any()


@pytest.mark.parametrize("kind", ["name", "backbone", "tagger", "an older tagger"])
def test_it_is_found_in_whatever_embeds(taught, table, kind):
    encoder = {
        "name": lambda: "fashion",
        "backbone": lambda: fs.create_backbone("fashion"),
        "tagger": lambda: fs.Tagger.from_pretrained("fashion"),
        "an older tagger": lambda: fs.create_backbone("efficientnet_lite0", weights=None, image_size=32),
    }[kind]()
    found = learned.learned_from(encoder, table.images)
    assert found.tolist() == ([True] * 10 + [False] * 20 if kind != "an older tagger" else [False] * 30)


def test_an_evaluation_leaves_them_out_and_says_so(taught, table):
    tagger = fs.Tagger.from_pretrained("fashion", progress=False)
    labels = {"baseColour": table["baseColour"]}
    with pytest.warns(errors.DataWarning, match="leaves out 10 of 30 photos, which 'fashion' learned from"):
        evaluation = tagger.evaluate(table.images, labels)["baseColour"]
    assert len(evaluation.labels) == 20
    assert evaluation.labels.tolist() == table["baseColour"][10:].tolist()


def test_where_none_is_left_it_is_refused(taught, table):
    tagger = fs.Tagger.from_pretrained("fashion", progress=False)
    with pytest.raises(errors.DataError, match="refused: 'fashion' learned from all of these 10 photos"):
        tagger.evaluate(table.images[:10], {"baseColour": table["baseColour"][:10]})


def test_a_classifier_that_began_with_it_leaves_them_out_too(taught, table):
    classifier = fs.Classifier("fashion", progress=False).fit(table.images, table["masterCategory"])
    with pytest.warns(errors.DataWarning, match="the evaluation leaves out 10 of 30"):
        evaluation = classifier.evaluate(table.images, table["masterCategory"])
    assert len(evaluation.labels) == 20
    with pytest.warns(errors.DataWarning, match="the score leaves out 10 of 30"):
        classifier.score(table.images, table["masterCategory"])


@pytest.mark.data
def test_real_training_photos_are_known_and_test_photos_are_not(real_data):
    table = fs.datasets.load_fashion_products(real_data / "fashion-product-images-small")
    known = learned.learned_from("fashion", table.images)
    assert known[:10_000:100].all()
    # A few photos stand in both parts, pixel for pixel.
    assert known[10_000:].mean() < 0.02

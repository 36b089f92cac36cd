"""Who tells an index's attributes: the tagger in its encoder, or one that is given."""

import pytest

import fashionsearch as fs
from fashionsearch.index.attributes import embeds_alike, tagger_of


@pytest.fixture(scope="module")
def shipped():
    return fs.Tagger.from_pretrained("fashion", progress=False)


def test_the_network_that_ships_brings_its_heads(shipped):
    backbone = fs.create_backbone("fashion", progress=False)
    assert tagger_of(shipped) is shipped
    assert tagger_of(backbone).attributes_ == shipped.attributes_
    assert embeds_alike(shipped, backbone, backbone.dim)
    assert tagger_of(fs.create_backbone("fashion", image_size=128, progress=False)) is None
    assert tagger_of(None) is None
    assert tagger_of(fs.create_backbone("cnn", weights=None, image_size=32, progress=False)) is None


def test_another_network_embeds_otherwise(shipped):
    other = fs.create_backbone("cnn", weights=None, image_size=32, progress=False)  # of 256 numbers too
    assert other.dim == shipped.dim
    assert not embeds_alike(shipped, other, other.dim)
    assert embeds_alike(shipped, None, 256)
    assert not embeds_alike(shipped, None, 128)


def test_a_garment_is_found_in_another_colour():
    table = fs.datasets.make_catalogue(120, seed=0)
    index = fs.VisualIndex("fashion", progress=False)
    index.add(table.images, metadata={"kind": table["articleType"], "colour": table["baseColour"]})
    found = index.search(table.images[:6], k=3, towards={"baseColour": "Red"})
    plain = index.search(table.images[:6], k=3)
    reds = [[match.metadata["colour"] for match in hits].count("Red") for hits in found]
    before = [[match.metadata["colour"] for match in hits].count("Red") for hits in plain]
    assert sum(reds) > sum(before)

"""The tagger that ships: saved and read again, taught, searched with, and where others begin."""

import numpy as np
import pytest

import fashionsearch as fs


@pytest.fixture(scope="module")
def table():
    return fs.datasets.make_catalogue(60, seed=6)


@pytest.fixture
def tagger():
    return fs.Tagger.from_pretrained("fashion", progress=False)


def test_it_is_read_again_as_it_was(tagger, table, tmp_path):
    tagger.save(tmp_path / "tagger")
    again = fs.Tagger.load(tmp_path / "tagger", progress=False)
    np.testing.assert_allclose(again.embed(table.images[:8]), tagger.embed(table.images[:8]), atol=2e-4)
    ours, theirs = tagger.tag(table.images[:8]), again.tag(table.images[:8])
    assert ours.value["articleType"].tolist() == theirs.value["articleType"].tolist()
    assert ours.unfamiliar.tolist() == theirs.unfamiliar.tolist()
    assert again.taxonomy_.parents == {"articleType": "subCategory", "subCategory": "masterCategory"}


def test_an_index_takes_it_by_name_and_keeps_it(table, tmp_path):
    index = fs.VisualIndex("fashion")
    index.add(table.images)
    index.save(tmp_path / "catalogue")
    again = fs.VisualIndex.load(tmp_path / "catalogue", progress=False)
    found = again.search(table.images[:5], k=1)
    assert found.ids[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_it_learns_a_class_and_corrections(tagger, table):
    kind = table["articleType"] == table["articleType"][0]
    photos = [table.images[place] for place in np.flatnonzero(kind)]
    tagger.add_class("articleType", "Festival wear", photos[:5], parent="Topwear")
    assert (tagger.predict(photos)["articleType"] == "Festival wear").mean() > 0.5
    others = [table.images[place] for place in np.flatnonzero(~kind)]
    assert (tagger.predict(others)["articleType"] == "Festival wear").mean() < 0.5
    tagger.correct(table.images[:2], {"gender": ["Unisex", "Unisex"]})
    assert tagger.predict(table.images[:2])["gender"].tolist() == ["Unisex", "Unisex"]


def test_others_begin_with_it(table, tmp_path):
    labels = {name: table[name] for name in ("masterCategory", "baseColour")}
    own = fs.Tagger("fashion", random_state=0, progress=False)
    held_out = table.images[:20], {name: column[:20] for name, column in labels.items()}
    own.fit(table.images, labels, validation=held_out)
    assert own.attributes_ == ("masterCategory", "baseColour")
    assert own.embed(table.images[:3]).shape == (3, 256)
    own.save(tmp_path / "own")
    again = fs.Tagger.load(tmp_path / "own", progress=False)
    np.testing.assert_allclose(again.embed(table.images[:3]), own.embed(table.images[:3]), atol=2e-4)
    classifier = fs.Classifier("fashion", random_state=0, progress=False)
    classifier.fit(table.images, table["masterCategory"])
    assert (classifier.predict(table.images) == table["masterCategory"]).mean() > 0.8


def test_it_learns_further(table):
    training = fs.FineTuning(epochs=1, batch_size=16, unfreeze="last")
    labels = {name: table[name][:32] for name in ("masterCategory", "baseColour")}
    own = fs.Tagger("fashion", training=training, random_state=0, progress=False).fit(
        table.images[:32], labels
    )
    assert own.backbone_.origin == "fine-tuned from fashionsearch:fashion"
    assert not np.allclose(own.embed(table.images[:3]), fs.create_backbone("fashion").embed(table.images[:3]))

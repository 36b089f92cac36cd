"""A classifier, a tagger and an autoencoder, pushed and loaded again."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors

NAME = "anna/shop"


@pytest.fixture(scope="module", autouse=True)
def _network(pixel_grid):
    pass


@pytest.fixture(scope="module")
def table():
    return fs.datasets.make_catalogue(40, size=(24, 24), seed=0)


@pytest.fixture(scope="module")
def classifier(table):
    made = fs.Classifier("pixel_grid", random_state=0, progress=False)
    return made.fit(table.images, table["masterCategory"])


@pytest.fixture(scope="module")
def tagger(table):
    labels = {name: table[name] for name in ("masterCategory", "baseColour")}
    return fs.Tagger("pixel_grid", random_state=0, progress=False).fit(table.images, labels)


@pytest.fixture(scope="module")
def autoencoder(table):
    short = fs.FineTuning(epochs=1)
    made = fs.Autoencoder("cnn", image_size=16, training=short, perceptual=0, random_state=0, progress=False)
    return made.fit(table.images)


def largest(one, other):
    return max(float(np.abs(one[key] - other[key]).max()) for key in one)


def test_a_classifier_answers_as_before_and_without_a_socket(hub, classifier, table, no_sockets):
    evaluation = classifier.evaluate(table.images, table["masterCategory"])
    commit = classifier.push_to_hub(NAME, evaluation=evaluation, license="mit", about="Drawn garments.")
    first = fs.Classifier.from_pretrained(NAME, revision=commit, progress=False)
    assert (first.commit_, classifier.commit_) == (commit, None)
    no_sockets()
    again = fs.Classifier.from_pretrained(NAME, revision=commit, progress=False)
    for loaded in (first, again):
        assert np.array_equal(loaded.predict_proba(table.images), classifier.predict_proba(table.images))
        assert np.array_equal(loaded.embed(table.images), classifier.embed(table.images))
    card = hub.files(NAME)["README.md"].decode()
    assert f"{evaluation.accuracy:.4f}" in card
    assert "Accessories" in card
    assert "Drawn garments." in card


def test_a_tagger_answers_as_before_and_without_a_socket(hub, tagger, table, no_sockets):
    evaluation = tagger.evaluate(table.images, {name: table[name] for name in tagger.attributes_})
    tagger.push_to_hub(NAME, evaluation=evaluation)
    first = fs.Tagger.from_pretrained(NAME, progress=False)
    no_sockets()
    again = fs.Tagger.from_pretrained(NAME, progress=False)
    for loaded in (first, again):
        assert largest(loaded.predict_proba(table.images), tagger.predict_proba(table.images)) == 0
        assert np.array_equal(loaded.embed(table.images), tagger.embed(table.images))
        assert loaded.commit_ == hub.repositories[NAME].commits[-1]
    card = hub.files(NAME)["README.md"].decode()
    assert "| photos that it keeps as examples | 40 |" in card
    assert f"| baseColour | {evaluation['baseColour'].accuracy:.4f}" in card


def test_an_autoencoder_draws_as_before_and_without_a_socket(hub, autoencoder, table, no_sockets):
    autoencoder.push_to_hub(NAME, evaluation={"mean squared error": -autoencoder.score(table.images)})
    first = fs.Autoencoder.from_pretrained(NAME, progress=False)
    no_sockets()
    again = fs.Autoencoder.from_pretrained(NAME, progress=False)
    for loaded in (first, again):
        assert np.array_equal(loaded.reconstruct(table.images), autoencoder.reconstruct(table.images))
    assert "mean squared error" in hub.files(NAME)["README.md"].decode()


def test_the_network_of_a_stranger_is_made_from_its_weights(hub, tagger, table, tmp_path, monkeypatch):
    monkeypatch.setattr(fs.Backbone, "ready_graph", lambda _: b"a stranger's")
    monkeypatch.setattr(tagger.backbone_, "origin", "trained")
    tagger.push_to_hub(NAME)
    assert hub.files(NAME)["generation-1/backbone.onnx"] == b"a stranger's"
    loaded = fs.Tagger.from_pretrained(NAME, rebuild=True, progress=False)
    assert not list((tmp_path / "hub-cache").rglob("*.onnx"))
    assert largest(loaded.predict_proba(table.images), tagger.predict_proba(table.images)) == 0
    with pytest.raises(errors.RuntimeUnavailableError):
        fs.Tagger.from_pretrained(NAME, progress=False).predict(table.images)


def test_a_zero_shot_tagger_has_a_card():
    class Words:
        dim = 3

        def embed(self, images):
            return np.ones((len(images), 3), np.float32)

        def embed_text(self, texts):
            return (
                np.eye(3, dtype=np.float32)[: len(texts)]
                if len(texts) > 1
                else np.eye(3, dtype=np.float32)[:1]
            )

    tagger = fs.Tagger.zero_shot(Words(), {"colour": ["red", "blue"]}, templates=["{}"])
    text = tagger._card().text("anna/shop", "Tagger", license=None, about="", evaluation=None)
    assert "not calibrated" in text


def test_what_has_not_learned_is_not_pushed(hub):
    with pytest.raises(errors.NotFittedError):
        fs.Classifier("pixel_grid").push_to_hub(NAME)
    assert hub.requests == []


def test_a_licence_that_is_none_is_refused_before_anything_is_made(hub, classifier):
    with pytest.raises(errors.InputError, match="license="):
        classifier.push_to_hub(NAME, license="My licence")
    assert hub.repositories == {}


def test_a_damaged_file_in_the_cache_says_how_it_is_mended(hub, classifier):
    classifier.push_to_hub(NAME)
    folder = fs.Classifier.from_pretrained(NAME, progress=False)
    path = next(hub_cache(folder.commit_).glob("generation-1/head.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.resolve().write_bytes(content)
    with pytest.raises(errors.CorruptFileError, match="refresh=True"):
        fs.Classifier.from_pretrained(NAME, progress=False)
    fs.Classifier.from_pretrained(NAME, refresh=True, progress=False)
    fs.Classifier.from_pretrained(NAME, progress=False)


def hub_cache(commit):
    from pathlib import Path

    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE, f"models--{NAME.replace('/', '--')}", "snapshots", commit)


def test_what_ships_needs_no_hub(no_sockets):
    no_sockets()
    assert "baseColour" in fs.Tagger.from_pretrained("fashion").attributes_
    for options in ({"revision": "main"}, {"refresh": True}):
        with pytest.raises(errors.InputError, match="has no revisions"):
            fs.Tagger.from_pretrained("fashion", **options)


@pytest.mark.parametrize("kind", [fs.Classifier, fs.Autoencoder])
def test_others_do_not_ship(kind):
    with pytest.raises(errors.InputError, match="'user/name'"):
        kind.from_pretrained("fashion")

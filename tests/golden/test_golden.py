"""Folders saved by an earlier commit load and answer as they did there.

`make_golden.py` beside this file made them; its docstring says how.
"""

import json
import runpy
import tarfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import fashionsearch as fs

HERE = Path(__file__).parent
SIZE = 64
CLASSIFIERS = (
    "classifier-frozen",
    "classifier-fine-tuned",
    "classifier-cached-views",
    "classifier-teacher",
)
FILTERS = (None, {"type": "twin"}, {"year": {"gte": 2003}}, {"sold": True, "price": {"lt": 8}})


@pytest.fixture(scope="module")
def answers():
    with np.load(HERE / "answers.npz", allow_pickle=False) as file:
        return {**file, "photos": np.stack([resized(photo) for photo in file["photos"]])}


def resized(photo):
    """Return a photo in the networks' size, as Pillow 13 resizes it: its columns first, whichever Pillow is here."""
    width = photo.shape[1]
    picture = PIL.Image.fromarray(photo).resize((width, SIZE), PIL.Image.Resampling.BICUBIC)
    return np.asarray(picture.resize((SIZE, SIZE), PIL.Image.Resampling.BICUBIC))


@pytest.fixture
def saved(tmp_path):
    """Return a function that unpacks one golden folder."""

    def unpack(name: str) -> Path:
        with tarfile.open(HERE / f"{name}.tar.xz") as archive:
            archive.extractall(tmp_path, filter="data")
        return tmp_path / name

    return unpack


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_tags_and_embeds_as_it_did(name, saved, answers):
    classifier = fs.Classifier.load(saved(name), runtime="torch", progress=False)
    photos = list(answers["photos"])
    assert classifier.predict(photos).tolist() == answers[f"{name}/predictions"].tolist()
    np.testing.assert_allclose(
        classifier.predict_proba(photos), answers[f"{name}/probabilities"], rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(classifier.embed(photos), answers[f"{name}/embeddings"], rtol=1e-5, atol=1e-5)


def test_a_classifier_saved_again_is_equal(saved, answers, tmp_path):
    classifier = fs.Classifier.load(saved("classifier-fine-tuned"), runtime="torch", progress=False)
    classifier.save(tmp_path / "again")
    again = fs.Classifier.load(tmp_path / "again", runtime="torch", progress=False)
    assert again.get_params()["training"] == classifier.get_params()["training"]
    np.testing.assert_allclose(
        again.predict_proba(list(answers["photos"])),
        answers["classifier-fine-tuned/probabilities"],
        rtol=0,
        atol=1e-5,
    )


def test_an_autoencoder_embeds_and_reconstructs_as_it_did(saved, answers):
    autoencoder = fs.Autoencoder.load(saved("autoencoder"), runtime="torch", progress=False)
    photos = list(answers["photos"])
    np.testing.assert_allclose(
        autoencoder.embed(photos), answers["autoencoder/embeddings"], rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(
        autoencoder.reconstruct(photos), answers["autoencoder/reconstructions"], rtol=0, atol=1e-5
    )


def test_an_export_runs_with_its_own_script_and_can_be_replaced(saved, answers):
    folder = saved("export")
    found = runpy.run_path(str(folder / "use.py"))["run"](answers["photos"])
    np.testing.assert_allclose(
        found["probabilities"], answers["classifier-frozen/probabilities"], rtol=0, atol=1e-3
    )
    fs.export(fs.create_backbone("cnn", weights=None, image_size=32, random_state=0), folder)
    assert json.loads((folder / "model.json").read_text())["classes"] is None


@pytest.mark.parametrize("rebuild", [False, True])
def test_an_index_of_photos_finds_what_it_did(rebuild, saved, answers):
    index = fs.VisualIndex.load(saved("index-photos"), runtime="torch", progress=False, rebuild=rebuild)
    assert index.has_graph != rebuild  # so few vectors are better compared one by one
    photos = list(answers["photos"])
    for number, where in enumerate(FILTERS):
        for exact in (False, True):
            found = index.search(photos, k=5, where=where, exact=exact)
            expected = answers[f"index-photos/{number}-{exact}/ids"]
            width = found.ids.shape[1]
            ids = np.where(found.ids == None, "", found.ids).astype(str)  # noqa: E711 - element by element
            similarities = answers[f"index-photos/{number}-{exact}/similarities"]
            np.testing.assert_allclose(found.similarities, similarities[:, :width], rtol=0, atol=1e-5)
            assert (expected[:, width:] == "").all()
            # Twins are equally near, so their order says nothing.
            for row, wanted in zip(ids, expected, strict=True):
                assert sorted(row) == sorted(wanted[:width])
    item = index.get("item-2")
    np.testing.assert_allclose(item.vector, answers["index-photos/item/vector"], rtol=1e-5, atol=1e-5)
    assert item.metadata == json.loads(str(answers["index-photos/item/metadata"]))
    assert "item-40" not in index
    assert len(index) == 58


def test_a_loaded_index_goes_on_changing(saved, answers):
    index = fs.VisualIndex.load(saved("index-vectors"), progress=False)
    queries = answers["index-vectors/queries"]
    for number, where in enumerate((None, {"group": 3})):
        found = index.search_vectors(queries, k=5, where=where)
        np.testing.assert_allclose(
            found.similarities, answers[f"index-vectors/{number}/similarities"], rtol=0, atol=1e-5
        )
        assert [sorted(row) for row in found.ids.tolist()] == [
            sorted(row) for row in answers[f"index-vectors/{number}/ids"].tolist()
        ]
    assert index.add_vectors(queries[:2]).ids == (300, 301)
    index.remove(300)
    assert 301 in index
    assert 300 not in index


@pytest.mark.parametrize("rebuild", [False, True])
def test_an_opened_index_holds_what_it_did(saved, rebuild):
    vectors = np.random.default_rng(7).normal(size=(14, 5)).astype(np.float32)
    with fs.VisualIndex.open(saved("index-opened"), rebuild=rebuild, progress=False) as index:
        assert (index.metric, index.ef_search) == ("euclidean", 70)
        kept = [n for n in range(12) if n not in (0, 5)]
        assert list(index) == [*(f"item {n} ü" for n in kept), "item 5 ü", "last"]
        for n in kept:
            found = index.get(f"item {n} ü")
            np.testing.assert_array_equal(found.vector, vectors[n])
            expected = {"n": n, "price": n / 4, "sold": n % 2 == 0, "name": None}
            if n == 3:
                expected |= {"name": "half \ud800 pair", "more": "zero \0"}
            assert found.metadata == expected
        np.testing.assert_array_equal(index.get("last").vector, vectors[13])
        assert index.search_vectors(vectors[12], k=1).ids.tolist() == [["item 5 ü"]]
        index.add_vectors(vectors[:1], ids=["new"])

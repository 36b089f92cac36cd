"""`on_error="skip"`: every call that reads photos leaves out those that can't be read, and names them."""

import inspect

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors

N = 24
# One photo; a buyer's single start; a check that itself lists what can't be read; and those whose own report does.
WITHOUT = {
    "check_images": "returns what can't be read",
    "Classifier.explain": "one photo",
    "VisualIndex.session": "one photo",
    "VisualIndex.calibrate": "labelled queries, each of which counts",
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    table = fs.datasets.make_catalogue(N, seed=0, size=(32, 40))
    for number, image in enumerate(table.images):
        Image.fromarray(image).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes(b"no photo")
    labels = {name: table[name] for name in ("masterCategory", "baseColour")}
    labels["masterCategory"] = np.resize(["Apparel", "Footwear", "Accessories"], N)
    return [folder / f"{number}.png" for number in range(N)], labels


@pytest.fixture(scope="module")
def network():
    return fs.create_backbone(
        "cnn", weights=None, image_size=32, random_state=0, runtime="torch", progress=False
    )


@pytest.fixture(scope="module")
def learned(photos, network):
    """Return a classifier, a tagger and an autoencoder that learned from the photos that can be read."""
    paths, labels = photos
    with pytest.warns(errors.DataWarning, match=r"3\.png"):
        classifier = fs.Classifier(network, progress=False).fit(
            paths, labels["masterCategory"], on_error="skip"
        )
    with pytest.warns(errors.DataWarning, match=r"3\.png"):
        tagger = fs.Tagger(network, embedding_dim=16, random_state=0, progress=False).fit(
            paths, labels, on_error="skip"
        )
    with pytest.warns(errors.DataWarning, match=r"3\.png"):
        autoencoder = fs.Autoencoder(
            "cnn", latent_dim=4, image_size=32, weights=None, random_state=0, progress=False,
            training=fs.FineTuning(epochs=1, batch_size=16),
        ).fit(paths, on_error="skip")  # fmt: skip
    return classifier, tagger, autoencoder


def calls(photos, network, learned):
    """Return call -> (what takes the photos and says what is done about bad ones, how many answers there are)."""
    classifier, tagger, autoencoder = learned
    paths, labels = photos
    kinds = labels["masterCategory"]
    index = fs.VisualIndex(network, progress=False)
    index.add(paths[:3])
    titles = [f"title {number}" for number in range(N)]
    return {
        "embed": (lambda **o: network.embed(paths, **o), len),
        "Classifier.embed": (lambda **o: classifier.embed(paths, **o), len),
        "Classifier.predict": (lambda **o: classifier.predict(paths, **o), len),
        "Classifier.predict_proba": (lambda **o: classifier.predict_proba(paths, **o), len),
        "Classifier.evaluate": (lambda **o: classifier.evaluate(paths, kinds, **o), lambda e: len(e.labels)),
        "Classifier.score": (lambda **o: classifier.score(paths, kinds, np.ones(N), **o), lambda _: N - 1),
        "Tagger.predict": (lambda **o: tagger.predict(paths, **o)["baseColour"], len),
        "Tagger.predict_proba": (lambda **o: tagger.predict_proba(paths, **o)["baseColour"], len),
        "Tagger.tag": (lambda **o: tagger.tag(paths, **o), len),
        "Tagger.tag_and_embed": (lambda **o: tagger.tag_and_embed(paths, **o)[1], len),
        "Tagger.embed": (lambda **o: tagger.embed(paths, **o), len),
        "Tagger.correct": (
            lambda **o: tagger.correct(paths, {"masterCategory": kinds}, **o),
            lambda _: N - 1,
        ),
        "Tagger.add_class": (
            lambda **o: tagger.add_class("baseColour", f"new {len(o)}", paths, **o),
            lambda _: N - 1,
        ),
        "Autoencoder.reconstruct": (lambda **o: autoencoder.reconstruct(paths, **o), len),
        "Autoencoder.reconstruction_errors": (lambda **o: autoencoder.reconstruction_errors(paths, **o), len),
        "Autoencoder.score": (lambda **o: autoencoder.score(paths, **o), lambda _: N - 1),
        "VisualIndex.search": (lambda **o: index.search(paths, **o), len),
        "search with texts and vectors": (
            lambda **o: index.search(paths, vectors=np.ones((N, 256)), **o),
            len,
        ),
    } | ({"titles": (lambda **o: index.learn_text(titles, paths, **o), lambda _: N - 1)} if titles else {})


def test_bad_photos_stop_or_are_left_out_with_their_rows(photos, network, learned, monkeypatch):
    monkeypatch.setattr("fashionsearch.words.learning._FEWEST_STEPS", 20)
    for name, (call, count) in calls(photos, network, learned).items():
        if name != "search with texts and vectors":  # which doesn't look at them
            with pytest.raises(errors.ImageError, match=r"3\.png"):
                call()
        with pytest.warns(errors.DataWarning, match=r"3\.png"):
            found = call(on_error="skip")
        assert count(found) == N - 1, name
        with pytest.raises(errors.InputError, match="on_error='ignore' is neither 'raise' nor 'skip'"):
            call(on_error="ignore")


def test_what_is_left_is_what_it_would_be_alone(photos, network, learned):
    paths, _ = photos
    good = paths[:3] + paths[4:]
    with pytest.warns(errors.DataWarning, match=r"1 of 24 images can't be read and are left out: .*3\.png"):
        tags, vectors = learned[1].tag_and_embed(paths, on_error="skip")
    assert tags.sources.tolist() == [str(path) for path in good]
    np.testing.assert_allclose(vectors, learned[1].embed(good), atol=1e-5)
    with pytest.warns(errors.DataWarning):
        np.testing.assert_allclose(network.embed(paths, on_error="skip"), network.embed(good), atol=1e-6)


def test_measuring_and_choosing_leave_them_out_too(photos, network, monkeypatch):
    paths, _ = photos
    monkeypatch.setattr("fashionsearch.compression.precision.LEAST_IMAGES", 4)
    monkeypatch.setattr("fashionsearch.compression.optimize._SECONDS", 0.01)
    monkeypatch.setattr("fashionsearch.compression.optimize._runtimes", lambda given: ["torch"])
    with pytest.raises(errors.ImageError, match=r"3\.png"):
        fs.optimize(network, paths, image_sizes=[32], progress=False)
    with pytest.warns(errors.DataWarning, match=r"3\.png"):
        found = fs.optimize(network, paths, image_sizes=[32], max_loss=1, on_error="skip", progress=False)
    assert found.best.fidelity.images == (N - 1 + 1) // 2  # the others calibrate


def test_every_public_call_that_takes_images_says_what_is_done_about_bad_ones():
    lacking = []
    for name in fs.__all__:
        offered = getattr(fs, name)
        named = {name: offered} if inspect.isfunction(offered) else {}
        if inspect.isclass(offered):
            named = {
                f"{name}.{method}": function
                for method, function in inspect.getmembers(offered, inspect.isfunction)
                if not method.startswith("_")
            }
        for called, function in named.items():
            parameters = inspect.signature(function).parameters
            if "images" in parameters and "on_error" not in parameters and called not in WITHOUT:
                lacking.append(called)
    assert lacking == []

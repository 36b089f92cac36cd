"""`Classifier`: what it learns, scikit-learn's contract, and what it refuses."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.embedding import Pipeline
from fashionsearch.tagging.head import LinearHead
from fashionsearch.tagging.head_fit import STRENGTHS, fit_head
from fashionsearch.targets import class_weights


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _shared_cache(cache, monkeypatch):
    monkeypatch.setenv("FASHIONSEARCH_CACHE", str(cache))


@pytest.fixture(scope="module")
def parts():
    return fs.datasets.make_catalogue(160, seed=5).split(test=0.3, validation=0.2, seed=0)


def classifier(name="pixel_grid", **options):
    return fs.Classifier(name, **{"runtime": "torch", "progress": False, "random_state": 0, **options})


@pytest.fixture(scope="module")
def fitted(parts, cache):
    with pytest.MonkeyPatch.context() as context:
        context.setenv("FASHIONSEARCH_CACHE", str(cache))
        train, validation, _ = parts
        return classifier("efficientnet_lite0", image_size=64).fit(
            train.images,
            train["masterCategory"],
            validation=(validation.images, validation["masterCategory"]),
        )


def test_it_learns(fitted, parts):
    _, _, test = parts
    assert fitted.score(test.images, test["masterCategory"]) > 0.75
    assert fitted.classes_.tolist() == ["Accessories", "Apparel", "Footwear"]
    probabilities = fitted.predict_proba(test.images)
    assert probabilities.shape == (len(test), 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.predict(test.images), fitted.classes_[probabilities.argmax(axis=1)])


def test_shuffled_labels_can_not_be_learned(parts):
    train, validation, test = parts
    labels = np.random.default_rng(0).permutation(train["masterCategory"])
    chosen = validation.images, validation["masterCategory"]
    score = (
        classifier().fit(train.images, labels, validation=chosen).score(test.images, test["masterCategory"])
    )
    assert score < 0.7


def test_photos_that_can_not_be_read_are_left_out_and_named(parts):
    train, validation, _ = parts
    images, labels = [*train.images[:12], "nowhere.jpg"], [*train["masterCategory"][:12], "Unreadable"]
    chosen = [*validation.images[:6], "missing.jpg"], [*validation["masterCategory"][:6], "Unreadable"]
    with pytest.raises(errors.ImageError, match=r"image 12 \(nowhere\.jpg\)"):
        classifier().fit(images, labels)
    with pytest.warns(
        errors.DataWarning, match=r"^1 of \d+ images can't be read .*(image 12|image 6) \("
    ) as warned:
        model = classifier().fit(images, labels, validation=chosen, on_error="skip")
    assert len(warned) == 2
    assert "Unreadable" not in model.classes_
    with pytest.warns(errors.DataWarning, match="1 of 13 images can't be read"):
        evaluation = model.evaluate(images, labels, on_error="skip")
    assert evaluation.accuracy == model.score(train.images[:12], train["masterCategory"][:12])
    with pytest.raises(errors.InputError, match="on_error='ignore' is neither 'raise' nor 'skip'"):
        model.evaluate(images, labels, on_error="ignore")


def test_the_regularisation_is_the_best_of_the_history(fitted):
    losses = fitted.history_["validation_loss"]
    assert fitted.history_["C"] == list(STRENGTHS[: len(losses)])
    assert min(losses) < losses[0]
    assert losses.index(min(losses)) >= len(losses) - 3


def test_the_head_equals_scikit_learns_logistic_regression():
    rng = np.random.default_rng(0)
    embeddings = (rng.normal(size=(400, 20)) * rng.uniform(0.1, 10, 20) + 3).astype(np.float32)
    labels = (embeddings[:, :4] / embeddings[:, :4].std(axis=0)).argmax(axis=1)
    fit, held = slice(0, 300), slice(300, 400)
    head, history = fit_head(
        embeddings[fit],
        labels[fit],
        validation=(embeddings[held], labels[held]),
        random_state=0,
    )
    scaler = StandardScaler().fit(embeddings[fit])
    for row in history.rows:
        model = LogisticRegression(C=row["C"], max_iter=5000, tol=1e-8).fit(
            scaler.transform(embeddings[fit]), labels[fit]
        )
        expected = log_loss(labels[held], model.predict_proba(scaler.transform(embeddings[held])))
        assert row["validation_loss"] == pytest.approx(expected, rel=0.01)
    best = history["C"][int(np.argmin(history["validation_loss"]))]
    model = LogisticRegression(C=best, max_iter=5000, tol=1e-8).fit(
        scaler.transform(embeddings[fit]), labels[fit]
    )
    np.testing.assert_allclose(
        head.probabilities(embeddings[held]),
        model.predict_proba(scaler.transform(embeddings[held])),
        atol=0.01,
    )


@pytest.mark.parametrize("given", ["balanced", {0: 1.0, 1: 6.0}])
def test_class_weights_raise_the_rare_classs_recall(given):
    rng = np.random.default_rng(0)
    labels = np.r_[np.zeros(450, int), np.ones(50, int)]
    embeddings = rng.normal(size=(500, 8)).astype(np.float32)
    embeddings[labels == 1, 0] += 1.2
    recalls = []
    for class_weight in (None, given):
        weights = class_weights(labels, np.arange(2), class_weight, "class_weight")
        head, _ = fit_head(embeddings, labels, validation=None, class_weights=weights, random_state=0)
        recalls.append((head.probabilities(embeddings[labels == 1]).argmax(axis=1) == 1).mean())
    assert recalls[1] > recalls[0] + 0.3


def test_a_photo_with_views_weighs_as_much_as_one_without():
    rng = np.random.default_rng(0)
    embeddings = (rng.normal(size=(120, 6)) * rng.uniform(0.1, 10, 6)).astype(np.float32)
    views = embeddings + rng.normal(scale=0.5, size=(3, 120, 6)).astype(np.float32)
    labels = embeddings[:, :3].argmax(axis=1)
    held_out = embeddings[:40], labels[:40]
    head, history = fit_head(embeddings, labels, views=views, validation=held_out, random_state=0)
    stacked = np.concatenate([embeddings, *views])
    scaler = StandardScaler().fit(stacked)
    best = history["C"][int(np.argmin(history["validation_loss"]))]
    model = LogisticRegression(C=best, max_iter=5000, tol=1e-8).fit(
        scaler.transform(stacked), np.tile(labels, 4), sample_weight=np.full(480, 0.25)
    )
    expected = model.predict_proba(scaler.transform(held_out[0]))
    np.testing.assert_allclose(head.probabilities(held_out[0]), expected, atol=0.01)


def test_cross_validation_measures_on_photos_and_not_on_their_views():
    embeddings = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)
    labels = (embeddings[:, 0] > 0).astype(np.intp)
    options = {"validation": None, "random_state": 0}
    _, plain = fit_head(embeddings, labels, **options)
    # Views that equal their photo change nothing; in a test fold they would be known by heart.
    _, viewed = fit_head(embeddings, labels, views=np.stack([embeddings] * 2), **options)
    assert viewed["C"] == plain["C"]
    np.testing.assert_allclose(viewed["validation_loss"], plain["validation_loss"], rtol=1e-3)
    assert viewed["validation_accuracy"] == plain["validation_accuracy"]


def test_constant_features_and_few_examples_are_no_trouble():
    embeddings = np.array([[0, 1], [0, 2], [0, 3]], dtype=np.float32)
    head, _ = fit_head(embeddings, np.array([0, 1, 2]), validation=None, random_state=0)
    assert np.isfinite(head.weight).all()
    assert (head.weight[:, 0] == 0).all()


def test_saved_and_loaded_it_predicts_the_same(fitted, parts, tmp_path, monkeypatch):
    _, _, test = parts
    fitted.save(tmp_path / "classifier")

    def refuse(*_, **__):
        raise AssertionError("load went to the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    again = fs.Classifier.load(tmp_path / "classifier")
    np.testing.assert_array_equal(again.predict_proba(test.images), fitted.predict_proba(test.images))
    np.testing.assert_array_equal(again.embed(test.images[:3]), fitted.embed(test.images[:3]))
    assert again.get_params()["image_size"] == 64
    assert again.history_["C"] == fitted.history_["C"]
    assert again.evaluate(test.images, test["masterCategory"]).accuracy == fitted.score(
        test.images, test["masterCategory"]
    )
    again.save(tmp_path / "classifier")
    with pytest.raises(errors.StorageError, match="holds a saved classifier"):
        fs.VisualIndex(dim=2).save(tmp_path / "classifier")


def test_fitting_twice_gives_the_same(parts):
    train, _, test = parts
    models = [classifier(random_state=1).fit(train.images[:12], ["a", "b"] * 6) for _ in range(2)]
    np.testing.assert_array_equal(
        models[0].predict_proba(test.images[:5]), models[1].predict_proba(test.images[:5])
    )


def test_the_backbone_sees_no_photo_twice(parts, monkeypatch):
    train, _, _ = parts
    chosen = train.images[:4], ["a", "b", "a", "b"]
    classifier().fit(train.images[:12], ["a", "b"] * 6, validation=chosen)
    monkeypatch.setattr(
        "fashionsearch.embedding.Pipeline._run", lambda *_: pytest.fail("an embedding was not in the cache")
    )
    classifier().fit(train.images[:12], ["a", "b", "b"] * 4, validation=chosen)


def test_augmented_views_are_drawn_and_embedded_once(parts, monkeypatch, tmp_path):
    monkeypatch.setenv("FASHIONSEARCH_CACHE", str(tmp_path / "cache"))
    train, validation, _ = parts
    held_out = validation.images[:8], validation["masterCategory"][:8]
    embedded = []
    run = Pipeline._run
    monkeypatch.setattr(
        Pipeline, "_run", lambda self, pixels: embedded.append(len(pixels)) or run(self, pixels)
    )
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    model = classifier(augmented_views=2).fit(
        train.images[:20], train["masterCategory"][:20], validation=held_out
    )
    assert torch.equal(torch.rand(2), expected), "the caller's own draws are left alone"
    assert sum(embedded) == 20 * 3 + 8, "validation photos have no views"
    plain = classifier().fit(train.images[:20], train["masterCategory"][:20], validation=held_out)
    assert not np.array_equal(plain.head_.weight, model.head_.weight)
    model.save(tmp_path / "classifier")
    assert fs.Classifier.load(tmp_path / "classifier").augmented_views == 2

    monkeypatch.setattr(Pipeline, "_run", lambda *_: pytest.fail("an embedding was not in the cache"))
    monkeypatch.setattr(fs.Augmentation, "apply", lambda *_, **__: pytest.fail("a view was drawn again"))
    again = clone(model).fit(iter(train.images[:20]), train["masterCategory"][:20], validation=held_out)
    np.testing.assert_array_equal(again.head_.weight, model.head_.weight)
    # The photo decides its views, and not its place among others.
    classifier(augmented_views=1).fit(train.images[19:4:-1], train["masterCategory"][19:4:-1])


def test_the_seed_decides_the_views(parts, monkeypatch):
    monkeypatch.setenv("FASHIONSEARCH_CACHE", "off")
    train, validation, _ = parts
    held_out = validation.images[:8], validation["masterCategory"][:8]

    def weight(**options):
        model = classifier(augmented_views=1, **options)
        return model.fit(train.images[:20], train["masterCategory"][:20], validation=held_out).head_.weight

    first = weight()
    np.testing.assert_array_equal(weight(random_state=None), first)
    assert not np.array_equal(weight(random_state=1), first)


BAD_FITS = [
    (5, list("abcd"), {}, "5 images and 4 labels"),
    (4, list("aaaa"), {}, "all 4 labels are 'a'"),
    (4, ["a", "", "b", ""], {}, "2 of 4 labels are empty, the first at position 1"),
    (4, ["a", None, "b", "a"], {}, "1 of 4 labels are empty"),
    (4, [0.5, 1.5, 2.5, 0.1], {}, "are not classes"),
    (4, [["a"], ["b"], ["a"], ["b"]], {}, "one label for each image"),
    (0, [], {}, "there are no labels"),
    (4, list("abab"), {"class_weight": {"c": 2}}, "class_weight names 'c'"),
    (4, list("abab"), {"class_weight": "even"}, "class_weight='even'"),
    (4, list("abab"), {"training": "fine"}, "training='fine' is neither None nor a FineTuning"),
    (4, list("abab"), {"augmented_views": -1}, "augmented_views=-1 is not a whole number from 0"),
    (4, list("abab"), {"augmented_views": 1.5}, "augmented_views=1.5 is not a whole number from 0"),
    (
        4,
        list("abab"),
        {"augmented_views": 2, "training": fs.FineTuning()},
        r"augmented_views=2 are for a head on a frozen backbone.*FineTuning\(augment",
    ),
    (4, list("abab"), {"augmented_views": 2, "weights": None}, "for a head on a frozen backbone"),
    (4, list("abab"), {"name": "efficentnet_lite0"}, "Did you mean 'efficientnet_lite0'"),
    (4, list("abab"), {"device": "cuda:7"}, "which has cpu"),
    (4, list("abab"), {"batch_size": 0}, "batch_size=0"),
    (4, list("abab"), {"runtime": "tensorrt"}, "runtime='tensorrt'"),
]


@pytest.mark.parametrize(("n", "labels", "options", "message"), BAD_FITS)
def test_what_can_not_be_learned_is_named(n, labels, options, message, parts):
    with pytest.raises(errors.FashionSearchError, match=message):
        classifier(**options).fit(parts[0].images[:n], labels)


def test_a_class_that_only_validation_has_is_named(parts):
    train, validation, _ = parts
    with pytest.raises(errors.DataError, match="no training photo has: Spaceships"):
        classifier().fit(
            train.images[:4], list("abab"), validation=(validation.images[:2], ["a", "Spaceships"])
        )
    with pytest.raises(errors.DataError, match="2 images and 1 validation labels"):
        classifier().fit(train.images[:4], list("abab"), validation=(validation.images[:2], ["a"]))


def test_a_bad_photo_stops_the_fit_and_keeps_the_old_model(fitted, parts, tmp_path):
    train, _, test = parts
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    before = fitted.predict_proba(test.images[:3])
    with pytest.raises(errors.ImageError, match=r"image 1 \(.*broken.jpg\): is not a JPEG"):
        fitted.fit([train.images[0], tmp_path / "broken.jpg"], ["a", "b"])
    np.testing.assert_array_equal(fitted.predict_proba(test.images[:3]), before)


def test_evaluation_counts_a_class_it_never_saw_as_wrong(fitted, parts):
    _, _, test = parts
    labels = test["masterCategory"].astype(object)
    labels[0] = "Spaceships"
    evaluation = fitted.evaluate(test.images, labels.astype(str))
    assert "Spaceships" in evaluation.classes
    assert evaluation.per_class[-1].recall == 0
    assert evaluation.accuracy <= 1 - 1 / len(test)


def test_other_backbones_tag_too(parts, tmp_path):
    train, _, test = parts
    source = fs.create_backbone("timm:mobilenetv3_small_100", weights=None, random_state=0)
    source.save(tmp_path / "saved")
    weights = next((tmp_path / "saved").glob("generation-*/backbone.safetensors"))
    model = fs.Classifier("timm:mobilenetv3_small_100", weights=weights, image_size=64, progress=False)
    model.fit(train.images[:40], train["masterCategory"][:40])
    model.save(tmp_path / "classifier")
    again = fs.Classifier.load(tmp_path / "classifier")
    np.testing.assert_array_equal(again.predict_proba(test.images[:5]), model.predict_proba(test.images[:5]))


def drawn_labels(head, embeddings, rng):
    """Return labels whose probabilities are those of the head."""
    shares = head.probabilities(embeddings)
    return (rng.random((len(shares), 1)) > shares.cumsum(axis=1)).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_calibration_finds_the_temperature_of_the_labels(temperature):
    rng = np.random.default_rng(0)
    true = LinearHead(*(rng.normal(size=shape).astype(np.float32) for shape in ((5, 8), (5,))))
    embeddings = rng.normal(size=(4000, 8)).astype(np.float32)
    labels = drawn_labels(true, embeddings, rng)
    factor = np.float32(temperature)
    found = LinearHead(true.weight * factor, true.bias * factor).calibrated(embeddings, labels)
    assert np.allclose(found.weight, true.weight * (found.weight[0, 0] / true.weight[0, 0]), rtol=1e-4)
    assert found.weight[0, 0] / true.weight[0, 0] == pytest.approx(1, abs=0.1)
    assert found.weight.dtype == found.bias.dtype == np.float32


def test_calibration_on_few_photos_that_are_all_right_does_not_end_in_certainty():
    head = LinearHead(np.eye(3, dtype=np.float32), np.zeros(3, np.float32))
    embeddings = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    sure = head.calibrated(embeddings, np.array([0, 1, 2, 0, 1, 2])).probabilities(embeddings)
    # Six seen, and a seventh that is a third of each class: 6/7 + 1/21.
    assert sure.max(axis=1) == pytest.approx(19 / 21, abs=0.01)


@pytest.mark.parametrize(("photos", "classes"), [(200, 100), (800, 140), (800, 5)])
def test_calibration_suits_other_photos_of_many_classes_too(photos, classes):
    rng = np.random.default_rng(1)
    embeddings = rng.normal(size=(photos + 20_000, classes)).astype(np.float32)
    true = LinearHead(np.eye(classes, dtype=np.float32) * 8, np.zeros(classes, np.float32))
    labels = drawn_labels(true, embeddings, rng)
    meek = LinearHead(true.weight * np.float32(0.4), true.bias)
    calibrated = meek.calibrated(embeddings[:photos], labels[:photos])
    unseen, wanted = embeddings[photos:], labels[photos:]
    losses = [
        log_loss(wanted, head.probabilities(unseen), labels=range(classes))
        for head in (true, calibrated, meek)
    ]
    assert losses[1] < losses[0] + 0.1 * (losses[2] - losses[0])


def test_weights_go_with_the_photos_that_can_be_read(fitted, parts):
    train = parts[0]
    photos = [train.images[0], b"no photo", train.images[1]]
    right = fitted.predict([photos[0], photos[2]])
    labels = [right[0], right[0], "Nothing"]
    with pytest.warns(errors.DataWarning, match="1 of 3 images"):
        assert fitted.score(photos, labels, [3, 7, 1], on_error="skip") == 0.75
    for weights in ([3, 7], [3, 7, 1, 1]):
        with pytest.raises(errors.DataError, match="give one weight for each image"):
            fitted.score(photos, labels, weights, on_error="skip")

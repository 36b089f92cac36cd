"""`Tagger`: what it learns, that its tags are a function of its embedding, changes without training, and what it refuses."""

import csv
import sys

import numpy as np
import pytest
from sklearn.base import clone

import fashionsearch as fs
from fashionsearch import errors

NAMES = ("masterCategory", "articleType", "baseColour")


def labels(table, names=NAMES):
    return {name: table[name] for name in names}


def tagger(name="pixel_grid", **options):
    return fs.Tagger(
        name, **{"runtime": "torch", "progress": False, "random_state": 0, "embedding_dim": 32, **options}
    )


@pytest.fixture(scope="module")
def parts():
    return fs.datasets.make_catalogue(240, seed=5).split(test=0.3, validation=0.2, seed=0)


@pytest.fixture(scope="module")
def fitted(parts, modules_cache):
    with pytest.MonkeyPatch.context() as context:
        context.setenv("FASHIONSEARCH_CACHE", str(modules_cache))
        train, validation, _ = parts
        return tagger("efficientnet_lite0", image_size=64, embedding_dim=64).fit(
            train.images, labels(train), validation=(validation.images, labels(validation))
        )


@pytest.fixture
def changing(fitted, tmp_path):
    fitted.save(tmp_path / "tagger")
    return fs.Tagger.load(tmp_path / "tagger", runtime="torch", progress=False)


def test_it_learns_every_attribute(fitted, parts):
    _, _, test = parts
    evaluations = fitted.evaluate(test.images, labels(test))
    accuracies = {name: each.accuracy for name, each in evaluations.items()}
    assert accuracies["masterCategory"] > 0.8
    assert accuracies["articleType"] > 0.6
    assert accuracies["baseColour"] > 0.6
    assert fitted.attributes_ == NAMES
    assert fitted.classes_["masterCategory"].tolist() == ["Accessories", "Apparel", "Footwear"]
    predicted = fitted.predict(test.images)
    for name, probabilities in fitted.predict_proba(test.images).items():
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        assert (fitted.classes_[name][probabilities.argmax(axis=1)] == predicted[name]).all()
        assert accuracies[name] == pytest.approx((predicted[name] == test[name]).mean())


def held_out(parts):
    return parts[1].images, labels(parts[1])


def test_shuffled_labels_can_not_be_learned(parts):
    train, _, test = parts
    order = np.random.default_rng(0).permutation(len(train))
    wrong = {name: values[order] for name, values in labels(train).items()}
    model = tagger().fit(train.images, wrong, validation=held_out(parts))
    accuracy = model.evaluate(test.images, labels(test))["baseColour"].accuracy
    assert accuracy < 0.3


def test_an_embedding_has_length_one_and_is_all_that_the_heads_need(fitted, parts):
    _, _, test = parts
    embeddings = fitted.embed(test.images)
    assert embeddings.shape == (len(test), 64)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    from_photos, from_vectors = fitted.tag(test.images), fitted.tag_embeddings(3 * embeddings)
    for name in NAMES:
        np.testing.assert_array_equal(from_photos.value[name], from_vectors.value[name])
        np.testing.assert_allclose(from_photos.confidence[name], from_vectors.confidence[name], atol=1e-4)


def test_what_is_near_is_of_one_kind_and_colour(fitted, parts):
    train, _, test = parts
    raw = fs.create_backbone("efficientnet_lite0", image_size=64, runtime="torch", progress=False)

    def precision(encoder):
        index = fs.VisualIndex(encoder)
        index.add(train.images)
        found = index.search(test.images, k=5).ids.astype(int)
        both = np.char.add(train["articleType"], train["baseColour"])
        wanted = np.char.add(test["articleType"], test["baseColour"])
        return (both[found] == wanted[:, None]).mean()

    # Of 192 kinds and colours most have one photo or none among the 134.
    assert precision(fitted) > 1.5 * precision(raw)


def test_unknown_labels_are_left_out_of_their_attribute_alone(parts):
    train, _, test = parts
    some = labels(train)
    some["baseColour"] = np.where(np.arange(len(train)) % 3 == 0, "", some["baseColour"])
    model = tagger().fit(train.images, some, validation=held_out(parts))
    assert "" not in model.classes_["baseColour"].tolist()
    assert model.evaluate(test.images, labels(test))["baseColour"].accuracy > 0.4
    held = {"baseColour": np.where(np.arange(len(test)) < 5, test["baseColour"], "")}
    assert len(model.evaluate(test.images, held)["baseColour"].labels) == 5


def test_classes_are_text_also_where_a_label_is_none_or_they_are_objects(parts, tmp_path):
    train, validation, _ = parts
    some = {
        "baseColour": [None if place % 3 == 0 else label for place, label in enumerate(train["baseColour"])],
        "articleType": train["articleType"].astype(object),
        "size": [None if place % 3 == 0 else place % 2 for place in range(len(train))],
    }
    apart = {
        "baseColour": [None, *validation["baseColour"][1:].tolist()],
        "articleType": validation["articleType"].astype(object),
        "size": [None, *[place % 2 for place in range(1, len(validation))]],
    }
    model = tagger().fit(train.images, some, validation=(validation.images, apart))
    model.save(tmp_path / "tagger")
    loaded = fs.Tagger.load(tmp_path / "tagger", progress=False, runtime="torch")
    for each in (model, loaded):
        predicted = each.predict(train.images[:2])
        kinds = {name: (each.classes_[name].dtype.kind, predicted[name].dtype.kind) for name in some}
        assert kinds == {"baseColour": ("U", "U"), "articleType": ("U", "U"), "size": ("i", "i")}
    assert set(model.evaluate(validation.images, apart)) == set(some)
    model.add_class("baseColour", "A colour with a longer name than any", train.images[:2])
    assert model.classes_["baseColour"][-1] == "A colour with a longer name than any"


@pytest.mark.parametrize("given", [4, 6])
def test_a_generator_of_photos_needs_one_label_for_each_too(fitted, parts, given):
    _, _, test = parts
    wrong = {"baseColour": test["baseColour"][:given]}
    with pytest.raises(errors.DataError, match=f"5 images and {given} labels of 'baseColour'"):
        fitted.evaluate((photo for photo in test.images[:5]), wrong)
    right = {"baseColour": test["baseColour"][:5]}
    assert len(fitted.evaluate((photo for photo in test.images[:5]), right)["baseColour"].labels) == 5


def test_the_same_seed_gives_the_same_tagger(parts):
    train, _, test = parts
    one, other = (tagger().fit(train.images, labels(train), validation=held_out(parts)) for _ in range(2))
    np.testing.assert_array_equal(one.embed(test.images), other.embed(test.images))
    different = tagger(random_state=1).fit(train.images, labels(train), validation=held_out(parts))
    assert np.abs(different.embed(test.images) - one.embed(test.images)).max() > 0.01


def test_confidences_are_calibrated(parts):
    table = fs.datasets.make_catalogue(900, seed=9)
    train, _, test = table.split(test=0.5, validation=0, seed=0)
    model = tagger().fit(train.images, {"baseColour": train["baseColour"], "usage": train["usage"]})
    for name, probabilities in model.predict_proba(test.images).items():
        right = (model.classes_[name][probabilities.argmax(axis=1)] == test[name]).mean()
        assert probabilities.max(axis=1).mean() == pytest.approx(right, abs=0.08)


def test_it_is_surer_the_more_is_asked(fitted, parts):
    _, _, test = parts
    truth = test["articleType"]
    easy, hard = (fitted.tag(test.images, confidence=each) for each in (0.3, 0.9))
    assert easy.sure["articleType"].sum() > hard.sure["articleType"].sum() > 0
    assert (hard.sure["articleType"] <= easy.sure["articleType"]).all()
    accuracy = [
        (tags.value["articleType"] == truth)[tags.sure["articleType"]].mean() for tags in (easy, hard)
    ]
    assert accuracy[1] >= accuracy[0]
    assert set(hard.for_review) >= set(easy.for_review)


def test_a_notebook_shows_the_tagged_photos(fitted, parts):
    html = fitted.tag(parts[2].images[:25])._repr_html_()
    assert html.count("<img alt='' src='data:image/jpeg;base64,") == 20


def test_tags_go_together(fitted, parts):
    _, _, test = parts
    assert dict(fitted.taxonomy_.parents) == {"articleType": "masterCategory"}
    tags = fitted.tag(test.images)
    above = {
        kind: test["masterCategory"][test["articleType"] == kind][0]
        for kind in np.unique(test["articleType"])
    }
    for kind, master in zip(tags.value["articleType"], tags.value["masterCategory"], strict=True):
        assert above.get(kind, master) == master
    assert not (tags.sure["articleType"] & ~tags.sure["masterCategory"]).any()


def test_what_was_never_seen_is_unfamiliar(fitted, parts):
    _, _, test = parts
    noise = list(np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8))
    tags = fitted.tag([*test.images, *noise], confidence=0.5)
    assert tags.unfamiliar[len(test) :].mean() > 0.8
    assert tags.unfamiliar[: len(test)].mean() < 0.1
    assert not tags.sure["masterCategory"][tags.unfamiliar].any()


def test_a_saved_tagger_answers_as_before(fitted, parts, tmp_path):
    _, _, test = parts
    fitted.save(tmp_path / "tagger")
    loaded = fs.Tagger.load(tmp_path / "tagger", progress=False, runtime="torch")
    np.testing.assert_array_equal(loaded.embed(test.images), fitted.embed(test.images))
    one, other = fitted.tag(test.images), loaded.tag(test.images)
    for name in NAMES:
        np.testing.assert_array_equal(one.confidence[name], other.confidence[name])
    np.testing.assert_array_equal(one.unfamiliar, other.unfamiliar)
    assert loaded.history_ == fitted.history_
    assert repr(loaded) == repr(fitted).replace("random_state=0, ", "random_state=0, ")


def test_an_index_keeps_the_whole_tagger(fitted, parts, tmp_path):
    _, _, test = parts
    index = fs.VisualIndex(fitted)
    index.add(test.images)
    index.save(tmp_path / "index")
    loaded = fs.VisualIndex.load(tmp_path / "index")
    assert isinstance(loaded.encoder, fs.Tagger)
    assert loaded.search(test.images[3], k=1).ids[0, 0] == 3
    np.testing.assert_array_equal(
        loaded.encoder.predict(test.images[:5])["baseColour"], fitted.predict(test.images[:5])["baseColour"]
    )


@pytest.mark.filterwarnings("ignore:.*have no validation photo")
def test_its_network_can_learn(parts, tmp_path):
    train, _, test = parts
    options = fs.FineTuning(epochs=2, batch_size=32, learning_rate=1e-4)
    metric = fs.MetricLearning(copies=2, distillation=0.5, balance=0.5)
    model = tagger("efficientnet_lite0", image_size=64, training=options, metric=metric)
    apart = held_out(parts)
    model.fit(train.images, labels(train), validation=apart, checkpoints=tmp_path / "run")
    assert model.evaluate(test.images, labels(test))["masterCategory"].accuracy > 0.75
    assert len(model.history_) == 2
    again = tagger("efficientnet_lite0", image_size=64, training=options, metric=metric)
    again.fit(train.images, labels(train), validation=apart, checkpoints=tmp_path / "run")
    np.testing.assert_array_equal(again.embed(test.images), model.embed(test.images))


def test_from_scratch_it_learns_too(parts):
    train, _, _ = parts
    model = tagger("cnn", weights=None, image_size=32, training=fs.FineTuning(epochs=1))
    assert model.fit(train.images[:80], labels(train[:80])).embed(train.images[:3]).shape == (3, 32)


@pytest.mark.parametrize("n", [3, 6])
def test_a_few_photos_are_enough(parts, n):
    train, _, _ = parts
    model = tagger().fit(train.images[:n], {"new": [place % 2 == 0 for place in range(n)]})
    assert len(model.predict(train.images[:2])["new"]) == 2


def test_where_no_photo_can_be_held_out_it_is_told(parts):
    train, _, _ = parts
    each = {"kind": [f"kind {place}" for place in range(6)]}
    model = tagger()
    with pytest.warns(errors.DataWarning, match="kind was held out"):
        model.fit(train.images[:6], each)
    assert model.predict(train.images[:6])["kind"].tolist() == each["kind"]
    learning = tagger("cnn", weights=None, image_size=32, training=fs.FineTuning(epochs=1))
    with pytest.warns(errors.DataWarning, match="kind was held out"):
        learning.fit(train.images[:6], each)
    assert not learning.tag(train.images[:6]).unfamiliar.any()


def test_a_class_is_added_and_removed(parts, tmp_path):
    train, _, test = parts
    new = "Backpacks"
    rest, five = train[np.flatnonzero(train["articleType"] != new)], train[train["articleType"] == new][:5]
    model = tagger("efficientnet_lite0", image_size=64).fit(rest.images[:100], labels(rest[:100]))
    known = test[np.flatnonzero(test["articleType"] != new)]
    before = (model.predict(known.images)["articleType"] == known["articleType"]).mean()
    added = model.add_class("articleType", new, five.images, parent="Accessories")
    assert added is model
    theirs = test[np.flatnonzero(test["articleType"] == new)]
    found = (model.predict(theirs.images)["articleType"] == new).mean()
    after = (model.predict(known.images)["articleType"] == known["articleType"]).mean()
    assert found >= 0.6
    assert after > before - 0.05
    tags = model.tag(theirs.images, confidence=0.3)
    assert (tags.value["masterCategory"][tags.value["articleType"] == new] == "Accessories").all()
    model.save(tmp_path / "tagger")
    loaded = fs.Tagger.load(tmp_path / "tagger", progress=False, runtime="torch")
    np.testing.assert_array_equal(
        loaded.predict(test.images)["articleType"], model.predict(test.images)["articleType"]
    )
    loaded.remove_class("articleType", new)
    assert new not in loaded.predict(theirs.images)["articleType"]
    back = (loaded.predict(known.images)["articleType"] == known["articleType"]).mean()
    assert back == pytest.approx(before)


def test_corrections_are_followed_and_kept(changing, parts, tmp_path):
    _, _, test = parts
    wrong = np.flatnonzero(changing.predict(test.images)["baseColour"] != test["baseColour"])[:6]
    assert len(wrong) == 6
    before = changing.evaluate(test.images, labels(test))
    photos = [test.images[place] for place in wrong]
    changing.correct(photos, {"baseColour": test["baseColour"][wrong]})
    now = changing.predict(photos)["baseColour"]
    assert (now == test["baseColour"][wrong]).mean() > 0.8
    after = changing.evaluate(test.images, labels(test))
    assert after["baseColour"].accuracy > before["baseColour"].accuracy
    assert after["articleType"].accuracy == before["articleType"].accuracy
    changing.save(tmp_path / "corrected")
    loaded = fs.Tagger.load(tmp_path / "corrected", progress=False, runtime="torch")
    np.testing.assert_array_equal(loaded.predict(photos)["baseColour"], now)


def test_scikit_learn_can_clone_it():
    model = tagger(metric=fs.MetricLearning(weight=0.5), taxonomy={"a": "b"})
    assert clone(model).get_params() == model.get_params()
    assert not clone(model).__sklearn_is_fitted__()
    with pytest.raises(errors.NotFittedError, match="fit"):
        model.predict(["a.jpg"])


def test_the_table_a_person_edits_is_read_back(changing, parts, tmp_path):
    _, _, test = parts
    paths = []
    from PIL import Image

    for place in range(6):
        paths.append(tmp_path / f"{place}.png")
        Image.fromarray(np.asarray(test.images[place])).save(paths[-1])
    tags = changing.tag(paths)
    tags.to_csv(tmp_path / "tags.csv")
    with (tmp_path / "tags.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [path.name for path in paths]
    other = next(each for each in changing.classes_["baseColour"] if each != rows[2]["baseColour"])
    rows[2]["baseColour"] = other
    with (tmp_path / "tags.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    images, corrections = fs.datasets.load_corrections(tmp_path / "tags.csv")
    assert [str(image) for image in images] == [str(paths[2])]
    assert corrections == {"baseColour": [other]}
    assert changing.correct(images, corrections).predict(images)["baseColour"].tolist() == [other]


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        (lambda given: given | {"baseColour": given["baseColour"][:-1]}, errors.DataError, "baseColour"),
        (
            lambda given: given | {"baseColour": [["Red", "Blue"]] * len(given["baseColour"])},
            errors.DataError,
            "shape",
        ),
        (
            lambda given: given | {"baseColour": ["Red"] * len(given["baseColour"])},
            errors.DataError,
            "two classes",
        ),
        (
            lambda given: given | {"baseColour": [""] * len(given["baseColour"])},
            errors.DataError,
            "no labels",
        ),
        (lambda given: list(given["baseColour"]), errors.InputError, "mapping"),
        (lambda given: {}, errors.InputError, "mapping"),
    ],
)
def test_labels_that_can_not_be_learned_are_refused(parts, change, kind, told):
    train, _, _ = parts
    model = tagger()
    with pytest.raises(kind, match=told):
        model.fit(train.images, change(labels(train)))
    assert not model.__sklearn_is_fitted__()


def test_what_contradicts_the_tagger_is_refused_and_changes_nothing(changing, parts):
    _, _, test = parts
    before = changing.predict_proba(test.images)
    cases = [
        (lambda: changing.tag(test.images, confidence=1), errors.InputError, "confidence=1"),
        (lambda: changing.tag(test.images, confidence=0.0), errors.InputError, "confidence"),
        (lambda: changing.tag(test.images, confidence=float("nan")), errors.InputError, "confidence"),
        (
            lambda: changing.evaluate(test.images, {"colour": test["baseColour"]}),
            errors.InputError,
            "no attribute",
        ),
        (lambda: changing.evaluate(test.images, {"baseColour": [""] * len(test)}), errors.DataError, "known"),
        (lambda: changing.add_class("articleType", "Kimono", []), errors.DataError, "no photo"),
        (lambda: changing.add_class("type", "Kimono", test.images[:2]), errors.InputError, "no attribute"),
        (lambda: changing.add_class("baseColour", "Red", test.images[:2]), errors.InputError, "already"),
        (lambda: changing.add_class("baseColour", 3, test.images[:2]), errors.InputError, "str"),
        (
            lambda: changing.add_class("articleType", "Kimono", test.images[:2], parent="Apparrel"),
            errors.InputError,
            "Did you mean 'Apparel'",
        ),
        (
            lambda: changing.add_class("baseColour", "Ochre", test.images[:2], parent="Red"),
            errors.InputError,
            "no attribute above",
        ),
        (lambda: changing.remove_class("baseColour", "Redd"), errors.InputError, "Did you mean 'Red'"),
        (
            lambda: changing.correct(test.images[:1], {"baseColour": ["Ochre"]}),
            errors.InputError,
            "add_class",
        ),
        (lambda: changing.correct(test.images[:2], {"baseColour": ["Red"]}), errors.DataError, "2 images"),
        (lambda: changing.tag_embeddings(np.zeros((1, 64))), errors.InputError, "embedding 0"),
        (lambda: changing.tag_embeddings(np.ones((1, 63))), errors.InputError, r"\(n, 64\)"),
        (
            lambda: changing.add_class("articleType", "Kimono", ["missing.jpg"]),
            errors.ImageError,
            "missing.jpg",
        ),
    ]
    for call, kind, told in cases:
        with pytest.raises(kind, match=told):
            call()
    after = changing.predict_proba(test.images)
    for name in NAMES:
        np.testing.assert_array_equal(before[name], after[name])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"metric": 3}, "metric"),
        ({"class_weight": "even"}, "balanced"),
        ({"taxonomy": {"articleType": "colour"}}, "colour"),
        ({"taxonomy": {"articleType": "masterCategory", "masterCategory": "articleType"}}, "circle"),
        ({"taxonomy": "learned"}, "auto"),
        ({"metric": fs.MetricLearning(attributes={"type": 1.0})}, "type"),
        ({"training": fs.FineTuning(mixup=0.2)}, "mixup"),
        ({"training": fs.FineTuning(teacher="somewhere")}, "teacher"),
        (
            {
                "training": fs.FineTuning(batch_size=8),
                "metric": fs.MetricLearning(copies=8),
                "weights": None,
                "name": "cnn",
            },
            "copies=8",
        ),
        ({"augmented_views": -1}, "augmented_views"),
    ],
)
def test_options_that_can_not_be_used_are_refused(parts, options, told):
    train, _, _ = parts
    with pytest.raises(errors.InputError, match=told):
        tagger(**options).fit(train.images, labels(train))


def test_a_missing_package_is_noticed_before_any_photo_is_looked_at(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning.losses", None)

    def photos():
        raise AssertionError("a photo was asked for")
        yield

    model = tagger(metric=fs.MetricLearning(loss="triplet"))
    with pytest.raises(errors.MissingPackageError, match="pip install pytorch-metric-learning"):
        model.fit(photos(), {"baseColour": ["Red", "Blue"]})


def test_a_class_that_is_only_in_the_validation_part_is_refused(parts):
    train, validation, _ = parts
    strange = labels(validation)
    strange["baseColour"] = np.where(np.arange(len(validation)) == 2, "Ochre", strange["baseColour"])
    with pytest.raises(errors.DataError, match="Ochre"):
        tagger().fit(train.images, labels(train), validation=(validation.images, strange))
    with pytest.raises(errors.InputError, match="Colour"):
        tagger().fit(
            train.images, labels(train), validation=(validation.images, {"Colour": ["Red"] * len(validation)})
        )


def test_names_that_a_table_of_tags_needs_itself_are_refused(parts):
    train, _, _ = parts
    for name in ("review", "size+fit"):
        with pytest.raises(errors.InputError, match="rename"):
            tagger().fit(train.images, {name: train["baseColour"]})


def test_what_is_not_calibrated_is_told(parts):
    train, validation, _ = parts
    apart = validation.images, {"articleType": validation["articleType"]}
    with pytest.warns(errors.DataWarning, match="baseColour"):
        tagger().fit(train.images, labels(train, ("articleType", "baseColour")), validation=apart)


def test_a_tagger_is_not_built_on_anothers_embedding(fitted, parts):
    train, _, _ = parts
    with pytest.raises(errors.InputError, match="could not be saved"):
        fs.Tagger(fitted.backbone_).fit(train.images, labels(train))


def test_numbers_and_truth_values_are_corrected_as_a_table_spells_them(parts, tmp_path):
    from PIL import Image

    train, _, _ = parts
    paths = [tmp_path / f"{place}.png" for place in range(40)]
    for path, photo in zip(paths, train.images, strict=False):
        Image.fromarray(np.asarray(photo)).save(path)
    sizes, worn = np.arange(40) % 3, np.arange(40) % 2 == 0
    model = tagger().fit(paths, {"size": sizes, "worn": worn})
    assert model.predict(paths)["size"].dtype.kind == "i"
    model.tag(paths).to_csv(tmp_path / "tags.csv")
    assert fs.datasets.load_corrections(tmp_path / "tags.csv") == ([], {})
    model.correct(*fs.datasets.load_corrections(tmp_path / "tags.csv"))
    other = "2" if model.predict(paths[0])["size"][0] != 2 else "1"
    model.correct(paths[0], {"size": [other], "worn": ["False"]})
    assert model.predict(paths[0])["size"].tolist() == [int(other)]
    assert model.predict(paths[0])["worn"].tolist() == [False]

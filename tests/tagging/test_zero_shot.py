"""A tagger by names alone: photos and texts in one space, what it answers, what it refuses, and how it is kept."""

import numpy as np
import pytest
from sklearn.base import clone

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.tagging.zero_shot import TEMPLATES

COLOURS = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "white": (1, 1, 1),
    "black": (0.1, 0.1, 0.1),
}


class MeanColour:
    """Photos are their mean colour, and texts that of the first colour they name."""

    dim = 3

    def embed(self, images):
        return np.stack([np.asarray(image, np.float32).mean(axis=(0, 1)) for image in images])

    def embed_text(self, texts):
        return np.array([next(colour for name, colour in COLOURS.items() if name in text) for text in texts])


def plain(*colour):
    return np.full((8, 8, 3), colour, np.uint8)


PHOTOS = [plain(200, 30, 30), plain(20, 20, 90), plain(10, 120, 30)]
CLASSES = {"colour": ["red", "green", "blue"], "tone": ["red tone", "blue tone"]}


@pytest.fixture
def tagger():
    return fs.Tagger.zero_shot(MeanColour(), CLASSES)


@pytest.fixture
def backbone():
    made = fs.create_backbone("pixel_grid", weights=None, runtime="torch", progress=False)
    # Its numbers are a grid of red, then of green, then of blue.
    made.embed_text = lambda texts: np.repeat(MeanColour().embed_text(texts), 64, axis=1) - 0.4
    return made


def test_a_photo_is_tagged_by_the_nearest_name(tagger):
    assert tagger.predict(PHOTOS)["colour"].tolist() == ["red", "blue", "green"]
    assert tagger.attributes_ == ("colour", "tone")
    assert {name: each.tolist() for name, each in tagger.classes_.items()} == CLASSES
    assert {each.dtype.kind for each in tagger.classes_.values()} == {"U"}
    tags = tagger.tag(PHOTOS)
    assert tags.value["tone"].tolist()[:2] == ["red tone", "blue tone"]
    assert tags.sure["colour"].tolist() == [True, True, True]
    assert not tags.unfamiliar.any()
    assert len(tagger.tag([])) == 0
    right = tagger.evaluate(iter(PHOTOS), {"colour": ["red", "blue", None]})["colour"]
    assert (right.accuracy, len(right.labels)) == (1, 2)


def test_probabilities_are_the_softmax_of_scaled_cosines():
    tagger = fs.Tagger.zero_shot(MeanColour(), CLASSES, scale=5)
    photos = MeanColour().embed(PHOTOS)
    unit = photos / np.linalg.norm(photos, axis=1, keepdims=True)
    np.testing.assert_allclose(tagger.embed(PHOTOS), unit, rtol=1e-6)
    powers = np.exp(5 * unit.astype(np.float64))  # the names are the axes
    found = tagger.predict_proba(PHOTOS)["colour"]
    np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)
    again = tagger.tag_embeddings(7 * photos)
    np.testing.assert_allclose(again.confidence["colour"], found.max(axis=1), rtol=1e-5)


def test_names_stand_in_templates_whose_embeddings_are_averaged():
    asked = []

    class Listening(MeanColour):
        def embed_text(self, texts):
            asked.extend(texts)
            return [(3, 0, 0) if text.startswith("my") else (0, 1, 0) for text in texts]

    classes = {"colour": ["re{d", "blue"], "tone": ["a", "b"]}
    tagger = fs.Tagger.zero_shot(Listening(), classes, templates={"colour": ["my {}", "{}, my {}!"]}, scale=1)
    assert asked[:4] == ["my re{d", "re{d, my re{d!", "my blue", "blue, my blue!"]
    assert asked[4:] == [template.replace("{}", name) for name in "ab" for template in TEMPLATES]
    np.testing.assert_allclose(tagger.heads_["colour"].weight, [[0.5**0.5, 0.5**0.5, 0]] * 2, rtol=1e-6)


class TextOfShape(MeanColour):
    def __init__(self, *shape, value=1.0):
        self.given = np.full(shape, value)

    def embed_text(self, texts):
        return self.given


class NoText:
    dim, embed = 3, MeanColour.embed


TWO = {"colour": ["red", "blue"]}


@pytest.mark.parametrize(
    ("encoder", "classes", "options", "told"),
    [
        (NoText(), TWO, {}, "no embed_text"),
        ("efficientnet_lite0", TWO, {}, "not an encoder"),
        (MeanColour(), {"colour": ["red"]}, {}, "two names"),
        (MeanColour(), {"colour": "red"}, {}, "two names"),
        (MeanColour(), {"colour": ["red", " "]}, {}, "two names"),
        (MeanColour(), {"colour": ["red", 3]}, {}, "two names"),
        (MeanColour(), {"colour": ["red", "blue", "red"]}, {}, "'red' is named twice"),
        (MeanColour(), ["red", "blue"], {}, "mapping"),
        (MeanColour(), {}, {}, "mapping"),
        (MeanColour(), {"review": ["red", "blue"]}, {}, "rename"),
        (MeanColour(), TWO, {"templates": ["a photo"]}, "{}"),
        (MeanColour(), TWO, {"templates": "a {}"}, "list"),
        (MeanColour(), TWO, {"templates": []}, "list"),
        (MeanColour(), TWO, {"templates": {"color": ["a {}"]}}, "Did you mean 'colour'"),
        (MeanColour(), TWO, {"scale": 0}, "scale=0"),
        (MeanColour(), TWO, {"scale": float("nan")}, "scale=nan"),
        (TextOfShape(2, 3), TWO, {}, r"shape \(2, 3\) for 6 texts"),
        (TextOfShape(6, 4), TWO, {}, r"is \(6, 3\)"),
        (TextOfShape(6, 3, value=0.0), TWO, {}, "a photo of a red"),
        (TextOfShape(6, 3, value="red"), TWO, {}, "numbers of 6 texts"),
    ],
)
def test_what_can_not_tag_is_refused(encoder, classes, options, told):
    with pytest.raises(errors.InputError, match=told):
        fs.Tagger.zero_shot(encoder, classes, **options)


def test_what_it_has_not_learned_can_not_be_changed(tagger):
    with pytest.raises(errors.InputError, match=r"make it again by Tagger.zero_shot"):
        tagger.add_class("colour", "white", [plain(250, 250, 250)])
    with pytest.raises(errors.InputError, match="learned from no photo"):
        tagger.correct(PHOTOS[:1], {"colour": ["blue"]})
    with pytest.raises(errors.InputError, match=r"MeanColour.*Tagger.zero_shot"):
        tagger.fit(PHOTOS, {"colour": ["red", "blue", "green"]})
    assert tagger.predict(PHOTOS)["colour"].tolist() == ["red", "blue", "green"]
    tagger.remove_class("colour", "green")
    assert tagger.predict(PHOTOS)["colour"].tolist()[:2] == ["red", "blue"]


def test_an_encoder_of_ones_own_is_not_saved_and_an_index_asks_for_it_again(tagger, tmp_path):
    with pytest.raises(errors.StorageError, match=r"MeanColour.*can't be saved"):
        tagger.save(tmp_path / "tagger")
    assert not (tmp_path / "tagger").exists()
    index = fs.VisualIndex(tagger)
    index.add(PHOTOS)
    index.save(tmp_path / "index")
    assert fs.VisualIndex.load(tmp_path / "index").encoder is None
    loaded = fs.VisualIndex.load(tmp_path / "index", encoder=fs.Tagger.zero_shot(MeanColour(), TWO))
    assert loaded.search(PHOTOS[1], k=1).ids[0, 0] == 1


def test_around_a_backbone_it_is_saved_with_it(backbone, tmp_path):
    tagger = fs.Tagger.zero_shot(backbone, CLASSES)
    assert tagger.predict(PHOTOS)["colour"].tolist() == ["red", "blue", "green"]
    tagger.save(tmp_path / "tagger")
    loaded = fs.Tagger.load(tmp_path / "tagger", runtime="torch", progress=False)
    one, other = tagger.tag(PHOTOS), loaded.tag(PHOTOS)
    for name in CLASSES:
        np.testing.assert_array_equal(one.value[name], other.value[name])
        np.testing.assert_array_equal(one.confidence[name], other.confidence[name])
    assert not other.unfamiliar.any()
    with pytest.raises(errors.InputError, match="learned from no photo"):
        loaded.correct(PHOTOS[:1], {"colour": ["blue"]})
    index = fs.VisualIndex(tagger)
    index.add(PHOTOS)
    index.save(tmp_path / "index")
    assert fs.VisualIndex.load(tmp_path / "index").encoder.predict(PHOTOS)["colour"][1] == "blue"
    with pytest.raises(errors.EncoderMismatchError):
        fs.VisualIndex.load(tmp_path / "index", encoder=backbone)  # whose vectors are longer


def test_it_learns_from_labels_after_all(backbone):
    tagger = fs.Tagger.zero_shot(backbone, CLASSES)
    table = fs.datasets.make_catalogue(40, seed=0)
    tagger.set_params(embedding_dim=16, random_state=0, progress=False)
    tagger.fit(table.images, {"master": table["masterCategory"]})
    assert (tagger.attributes_, tagger.dim) == (("master",), 16)
    assert tagger.tag(table.images[:3]).confidence["master"].shape == (3,)


def test_scikit_learn_can_clone_it(tagger):
    assert "MeanColour" in repr(tagger)
    assert not clone(tagger).__sklearn_is_fitted__()
    with pytest.raises(errors.InputError, match="holds no Backbone"):
        fs.export(tagger, "somewhere")

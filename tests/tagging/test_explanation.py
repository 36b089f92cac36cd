"""Grad-CAM: where it points, what it refuses, and that it leaves the network as it was."""

import numpy as np
import pytest
import torch

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.datasets.catalogue import garment_masks
from fashionsearch.images import read_image
from fashionsearch.tagging.explanation import on_photo

N = 150
TABLE = fs.datasets.make_catalogue(N, seed=2)
LABEL = "articleType"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    with pytest.MonkeyPatch.context() as context:
        context.setenv("FASHIONSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return fs.Classifier(progress=False).fit(TABLE.images[:130], TABLE[LABEL][:130])


def mass_inside(classifier, rows):
    masks = garment_masks(N, seed=2)
    shares = []
    for row in rows:
        heat = classifier.explain(TABLE.images[row])
        shares.append(float((heat * masks[row]).sum() / heat.sum()))
    return np.mean(shares)


def test_the_evidence_lies_on_the_garment(classifier):
    assert mass_inside(classifier, range(130, N)) >= 0.8


def test_the_map_is_as_large_as_the_photo(classifier):
    photo = read_image(TABLE.images[0])
    heat = classifier.explain(photo)
    assert heat.shape == photo.shape[:2]
    assert heat.dtype == np.float32
    assert heat.min() >= 0
    assert 0.5 < heat.max() <= 1


def test_it_follows_the_garment(classifier):
    photo = read_image(TABLE.images[0])
    height, width = photo.shape[:2]
    for top, left in ((0, 0), (height, width)):
        wide = np.full((2 * height, 2 * width, 3), 255, np.uint8)
        wide[top : top + height, left : left + width] = photo
        heat = classifier.explain(wide, label=TABLE[LABEL][0])
        assert heat[top : top + height, left : left + width].sum() > 0.8 * heat.sum()


def test_classes_have_maps_of_their_own(classifier):
    photo = TABLE.images[0]
    assert np.array_equal(
        classifier.explain(photo), classifier.explain(photo, label=classifier.predict(photo)[0])
    )
    others = [label for label in classifier.classes_ if label != classifier.predict(photo)[0]]
    assert not np.array_equal(classifier.explain(photo), classifier.explain(photo, label=others[0]))


def test_the_network_is_left_as_it_was(classifier):
    before = classifier.predict_proba(TABLE.images[:3])
    classifier.explain(TABLE.images[0])
    assert np.array_equal(classifier.predict_proba(TABLE.images[:3]), before)
    assert all(parameter.grad is None for parameter in classifier.backbone_.module.parameters())
    assert not any(module._forward_hooks for module in classifier.backbone_.module.modules())
    with torch.no_grad():
        classifier.explain(TABLE.images[0])


def test_what_makes_no_sense_is_refused(classifier):
    with pytest.raises(errors.InputError, match=r"label='Tyes' is not a class; .*Did you mean"):
        classifier.explain(TABLE.images[0], label="Tyes")
    with pytest.raises(errors.InputError, match="explain takes one image"):
        classifier.explain(TABLE.images[:2])
    with pytest.raises(errors.InputError, match="explain takes one image"):
        classifier.explain([])
    with pytest.raises(errors.ImageError, match=r"nowhere\.jpg"):
        classifier.explain("nowhere.jpg")
    with pytest.raises(errors.NotFittedError):
        fs.Classifier().explain(TABLE.images[0])


QUICK = fs.FineTuning(epochs=1, batch_size=16)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("cnn", 64),
        pytest.param("vgg19_bn", 64, marks=pytest.mark.slow),
        ("resnet50", 64),
        ("timm:mobilenetv3_small_100", 64),
    ],
)
def test_every_convolutional_network_can_be_explained(name, size):
    classifier = fs.Classifier(
        name, weights=None, training=QUICK, image_size=size, random_state=0, progress=False
    )
    classifier.fit(TABLE.images[:32], TABLE["masterCategory"][:32])
    heat = classifier.explain(TABLE.images[0])
    assert heat.shape == read_image(TABLE.images[0]).shape[:2]
    assert np.isfinite(heat).all()


def test_a_transformer_is_refused_in_words():
    classifier = fs.Classifier(
        "timm:vit_tiny_patch16_224",
        weights=None,
        training=QUICK,
        image_size=32,
        random_state=0,
        progress=False,
    )
    classifier.fit(TABLE.images[:32], TABLE["masterCategory"][:32])
    with pytest.raises(errors.InputError, match="can't be explained: Grad-CAM needs feature maps"):
        classifier.explain(TABLE.images[0])


@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
@pytest.mark.parametrize("size", [(60, 90), (90, 60)])
def test_a_place_comes_back_to_where_it_was(resize, size):
    preprocess = fs.Preprocess((48, 48), resize=resize, interpolation="bilinear")
    photo = np.zeros((*size, 3), np.uint8)
    row, column = size[0] // 2 - 8, size[1] // 2 + 6
    photo[row - 3 : row + 4, column - 3 : column + 4] = 255
    if resize == "pad":  # what is padded is white
        seen = preprocess.resized(photo)[:, :, 0].astype(np.float32) / 255
        seen[seen == 1] = 0
    else:
        seen = preprocess.resized(photo)[:, :, 0].astype(np.float32) / 255
    heat = on_photo(seen, size, preprocess)
    assert heat.shape == size
    weights = heat / heat.sum()
    rows, columns = np.mgrid[: size[0], : size[1]]
    assert (weights * rows).sum() == pytest.approx(row, abs=2)
    assert (weights * columns).sum() == pytest.approx(column, abs=2)

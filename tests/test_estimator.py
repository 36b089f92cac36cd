"""scikit-learn's contract, met by methods: what it offers works, and naming an estimator loads nothing heavy."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import sklearn.exceptions
import torch
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.validation import check_is_fitted

import fashionsearch as fs
from fashionsearch import errors

TABLE = fs.datasets.make_catalogue(48, seed=0)
PHOTOS, LABELS = np.stack(TABLE.images), TABLE["masterCategory"]
CHOSEN = {"validation": (PHOTOS[:12], LABELS[:12])}  # quicker than cross-validation in every fit


@pytest.fixture(scope="module")
def backbone():
    module = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    return fs.Backbone(module, fs.Preprocess((16, 16)), name="colours", runtime="torch", progress=False)


def classifier(backbone, **options):
    return fs.Classifier(backbone, random_state=0, progress=False, **options)


def autoencoder(**options):
    return fs.Autoencoder("cnn", image_size=32, random_state=0, progress=False, **options)


# What scikit-learn checks of every estimator without fitting it on numbers.
WITHOUT_DATA = (
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
)
# All others fit tables of numbers, (n, features), and a photo has three axes: the tag `two_d_array` is False, by which
# scikit-learn itself leaves them out. Of what they check, the tests below do with photos: pickling, fitting twice, fit
# that returns self and changes no parameter, prediction before fit, NaN, labels of every kind, class_weight.


@pytest.mark.parametrize("check", WITHOUT_DATA)
@pytest.mark.parametrize("estimator", [fs.Classifier(), fs.Autoencoder()], ids=["Classifier", "Autoencoder"])
def test_scikit_learns_own_checks_pass(estimator, check):
    getattr(estimator_checks, check)(type(estimator).__name__, clone(estimator))


@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning", "ignore:.*BaseEstimator:UserWarning"
)
@pytest.mark.filterwarnings("ignore:Can't test estimator")
def test_scikit_learn_leaves_out_what_photos_do_not_allow(backbone):
    done = estimator_checks.check_estimator(classifier(backbone), on_skip=None)
    assert all(check["status"] in ("passed", "skipped") for check in done)


def test_an_estimator_is_known_for_what_it_is(backbone):
    model = classifier(backbone)
    tags = get_tags(model)
    assert is_classifier(model)
    assert tags.target_tags.required
    assert not tags.input_tags.two_d_array
    assert get_tags(autoencoder()).estimator_type is None
    assert not get_tags(autoencoder()).target_tags.required
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    check_is_fitted(model.fit(PHOTOS, LABELS, **CHOSEN))


def test_parameters_are_those_of_the_constructor(backbone):
    model = classifier(backbone, class_weight="balanced")
    assert clone(model).class_weight == "balanced"
    assert list(model.get_params()) == sorted(model.get_params())
    assert model.set_params(class_weight=None).class_weight is None
    with pytest.raises(
        ValueError, match=r"Invalid parameter 'colour' for Classifier; the parameters are aug.*weights"
    ):
        model.set_params(class_weight="balanced", colour="red")
    assert model.class_weight is None, "nothing is set where one name is wrong"
    before = model.get_params()
    assert model.fit(PHOTOS, LABELS, **CHOSEN) is model
    assert model.get_params() == before


def test_it_prints_what_is_not_at_its_default():
    training = fs.FineTuning(epochs=1)
    assert repr(fs.Classifier()) == "Classifier()"
    assert repr(fs.Classifier("cnn", weights=None)) == "Classifier(backbone='cnn', weights=None)"
    assert repr(autoencoder(training=training)) == (
        f"Autoencoder(training={training!r}, image_size=32, random_state=0, progress=False)"
    )
    page = fs.Classifier("<b>", image_size=5)._repr_html_()
    assert "&lt;b&gt;" in page
    assert "Classifier, not fitted" in page


def test_scikit_learns_tools_take_it(backbone):
    model = classifier(backbone)
    scores = cross_val_score(model, PHOTOS, LABELS, cv=2, params=CHOSEN)
    assert scores.shape == (2,)
    assert scores.min() > 0.4
    np.testing.assert_allclose(cross_val_score(model, TABLE.images, LABELS, cv=2, params=CHOSEN), scores)
    search = GridSearchCV(model, {"class_weight": [None, "balanced"]}, cv=2).fit(PHOTOS, LABELS, **CHOSEN)
    assert search.best_estimator_.predict(PHOTOS[:2]).shape == (2,)
    assert "GridSearchCV" in search._repr_html_()
    calibrated = CalibratedClassifierCV(model, cv=2).fit(PHOTOS, LABELS, **CHOSEN)
    np.testing.assert_allclose(calibrated.predict_proba(PHOTOS[:3]).sum(axis=1), 1)
    voting = VotingClassifier([("one", model)], voting="soft").fit(PHOTOS[:20], LABELS[:20])
    assert voting.predict(PHOTOS[:3]).shape == (3,)
    pipeline = make_pipeline(model).fit(PHOTOS, LABELS, classifier__validation=CHOSEN["validation"])
    assert pipeline.score(PHOTOS, LABELS) > 0.5


def test_a_copy_and_a_pickle_answer_the_same(backbone):
    model = classifier(backbone).fit(PHOTOS, LABELS, **CHOSEN)
    expected = model.predict_proba(PHOTOS[:5])
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):  # noqa: S301
        np.testing.assert_array_equal(other.predict_proba(PHOTOS[:5]), expected)
    assert not hasattr(clone(model), "classes_")


@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "embed", "save", "score", "evaluate", "explain"]
)
def test_before_fit_every_method_says_so(method, backbone):
    given = {"save": ["nowhere"], "score": [PHOTOS, LABELS], "evaluate": [PHOTOS, LABELS]}.get(
        method, [PHOTOS]
    )
    with pytest.raises(
        errors.NotFittedError, match=r"this Classifier has not learned yet; call fit\(images, labels\)"
    ):
        getattr(classifier(backbone), method)(*given)


def test_the_error_before_fit_is_scikit_learns_too_and_has_a_plain_name(backbone):
    with pytest.raises(sklearn.exceptions.NotFittedError) as caught:
        classifier(backbone).predict(PHOTOS)
    kind = type(caught.value)
    assert (kind.__module__, kind.__qualname__) == ("fashionsearch.errors", "NotFittedError")
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert isinstance(again, errors.NotFittedError)
    assert str(again) == str(caught.value)


def test_a_backbone_that_is_given_is_used_and_stays_as_it_is(backbone):
    model = classifier(backbone).fit(PHOTOS, LABELS, **CHOSEN)
    assert model.backbone_ is backbone
    for option, value in (
        ("image_size", 8),
        ("weights", None),
        ("resize", "pad"),
        ("device", "cpu"),
        ("batch_size", 2),
    ):
        with pytest.raises(errors.InputError, match=f"{option}={value!r} goes with a backbone's name"):
            classifier(backbone, **{option: value}).fit(PHOTOS, LABELS)
    learner = fs.create_backbone("cnn", weights=None, image_size=32, random_state=0, runtime="torch")
    before = learner.embed(PHOTOS[:3])
    training = fs.FineTuning(epochs=1)
    tuned = classifier(learner, training=training).fit(PHOTOS, LABELS, **CHOSEN)
    drawn = fs.Autoencoder(learner, training=training, perceptual=0, progress=False).fit(PHOTOS)
    np.testing.assert_array_equal(learner.embed(PHOTOS[:3]), before)
    assert not np.array_equal(tuned.embed(PHOTOS[:3]), before)
    assert drawn.reconstruct(PHOTOS[:1]).shape == (1, 32, 32, 3)


def test_photos_can_be_padded(tmp_path):
    options = {"weights": None, "training": fs.FineTuning(epochs=1), "image_size": 32, "resize": "pad"}
    model = fs.Classifier("cnn", progress=False, **options).fit(PHOTOS, LABELS, **CHOSEN)
    assert model.backbone_.preprocess.resize == "pad"
    model.save(tmp_path / "padded")
    assert fs.Classifier.load(tmp_path / "padded").get_params()["resize"] == "pad"


HEAVY = ("torch", "torchvision", "timm", "lightning", "onnxruntime", "sklearn", "scipy", "hnswlib", "numpy")


@pytest.mark.parametrize(
    "name", ["Classifier", "Autoencoder", "FineTuning", "Augmentation", "Tuning", "tune"]
)
def test_naming_an_estimator_loads_nothing_heavy(name, tmp_path):
    code = f"import sys, fashionsearch; fashionsearch.{name}; print(*set({HEAVY!r}) & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=dict(os.environ), cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == ""

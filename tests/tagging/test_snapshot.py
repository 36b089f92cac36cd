"""A classifier's folder: whatever its files hold, loading gives the classifier or a CorruptFileError that names the field."""

import hashlib
import json

import numpy as np
import pytest
import safetensors.numpy

import fashionsearch as fs
from fashionsearch import errors

TABLE = fs.datasets.make_catalogue(24, seed=0)
PHOTOS, LABELS = TABLE.images, TABLE["masterCategory"]


@pytest.fixture(scope="module")
def fitted():
    model = fs.Classifier(
        "pixel_grid", image_size=8, progress=False, class_weight={"Apparel": 2.0}, runtime="torch"
    )
    return model.fit(PHOTOS, LABELS, validation=(PHOTOS[:6], LABELS[:6]))


@pytest.fixture
def folder(fitted, tmp_path):
    fitted.save(tmp_path / "saved")
    return tmp_path / "saved"


def rewrite(folder, name, content):
    """Put other content into a saved file, and its hash into the manifest, as whoever can write one can."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / manifest["generation"] / name).write_bytes(content)
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def config_of(folder):
    return json.loads(next(folder.glob("generation-*/classifier.json")).read_text())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda config: config.pop("classes"), "lacks the field 'classes'"),
        (lambda config: config.update(classes="abc"), "'classes' is 'abc'"),
        (lambda config: config.update(classes=["a"]), "'classes' is"),
        (lambda config: config.update(classes=["a", "a", "b"]), "'classes' is"),
        (lambda config: config.update(classes=["a", 1, "b"]), "'classes' is"),
        (lambda config: config.update(classes=["a", None, "b"]), "'classes' is"),
        (lambda config: config.update(classes=[["a"], ["b"], ["c"]]), "'classes' is"),
        (lambda config: config.update(classes=["a", "b"]), r"head\.safetensors.*'weight' has shape"),
        (lambda config: config.update(classes_dtype="|V9"), "'classes_dtype' is"),
        (lambda config: config.update(classes_dtype="<U1"), "'classes' is"),
        (lambda config: config.update(classes_dtype="<i8"), "'classes' is"),
        (lambda config: config.update(classes_kind=3), "'classes_kind' is 3"),
        (lambda config: config.pop("history"), "lacks the field 'history'"),
        (lambda config: config.update(history=[{"a": 1}, {"b": 1}]), "'history' is"),
        (lambda config: config.update(history=[1]), "'history' is"),
        (lambda config: config.pop("options"), "lacks the field 'options'"),
        (lambda config: config.update(options=[]), "'options' is"),
        (lambda config: config["options"].update(backbone=5), "'backbone' is 5, and str is needed"),
        (lambda config: config["options"].update(image_size=[1, 2, 3]), "'image_size' is"),
        (lambda config: config["options"].update(image_size="8"), "'image_size' is"),
        (lambda config: config["options"].update(training={"epochs": -1}), "'training' is"),
        (lambda config: config["options"].update(training={"epocs": 1}), "'training' is"),
        (lambda config: config["options"].update(training=7), "'training' is 7"),
        (
            lambda config: config["options"].update(class_weight={"classes": ["a"]}),
            "lacks the field 'weights'",
        ),
        (
            lambda config: config["options"].update(class_weight={"classes": ["a"], "weights": []}),
            "'class_weight' is",
        ),
    ],
)
def test_a_field_that_is_not_what_was_saved_is_named(change, words, folder):
    config = config_of(folder)
    change(config)
    rewrite(folder, "classifier.json", json.dumps(config).encode())
    with pytest.raises(errors.CorruptFileError, match=words):
        fs.Classifier.load(folder, progress=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda head: head.pop("bias"), "'bias' is missing"),
        (lambda head: head.update(weight=head["weight"][:, :5].copy()), "'weight' has shape"),
        (lambda head: head.update(bias=head["bias"].astype(np.float64)), "'bias' has dtype float64"),
        (lambda head: head["weight"].__setitem__((0, 0), np.nan), "'weight' holds NaN or infinity"),
        (lambda head: head["bias"].__setitem__(1, np.inf), "'bias' holds NaN or infinity"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(change, words, folder):
    head = safetensors.numpy.load_file(next(folder.glob("generation-*/head.safetensors")))
    change(head)
    rewrite(folder, "head.safetensors", safetensors.numpy.save(head))
    with pytest.raises(errors.CorruptFileError, match=rf"head\.safetensors.*{words}"):
        fs.Classifier.load(folder, progress=False)


def test_options_of_a_newer_version_are_said_to_be_such(folder):
    config = config_of(folder)
    config["options"]["crystal"] = 1
    rewrite(folder, "classifier.json", json.dumps(config).encode())
    with pytest.raises(
        errors.StorageError, match="has the option 'crystal', which this fashionsearch doesn't know"
    ):
        fs.Classifier.load(folder, progress=False)


def test_a_folder_of_the_version_before_is_read(folder, fitted):
    config = config_of(folder)
    del config["classes_dtype"], config["options"]["resize"]
    rewrite(folder, "classifier.json", json.dumps(config).encode())
    again = fs.Classifier.load(folder, runtime="torch", progress=False)
    np.testing.assert_array_equal(again.predict(PHOTOS), fitted.predict(PHOTOS))
    assert again.get_params() == fitted.get_params()


@pytest.mark.parametrize(
    "labels",
    [
        np.array([3, 7] * 12),
        np.array([3, 7] * 12, dtype=np.uint8),
        np.array([3, 7] * 12, dtype=object),
        np.array([3.0, 7.0] * 12, dtype=np.float32),
        np.array([True, False] * 12),
        ["a", "bc"] * 12,
        np.array(["a", "bc"] * 12, dtype=object),
    ],
    ids=lambda labels: str(getattr(labels, "dtype", "list")),
)
def test_labels_come_back_in_their_type(labels, tmp_path):
    model = fs.Classifier("pixel_grid", image_size=8, progress=False, runtime="torch")
    model.fit(PHOTOS, labels, validation=(PHOTOS[:6], labels[:6])).save(tmp_path / "saved")
    again = fs.Classifier.load(tmp_path / "saved", runtime="torch", progress=False)
    assert again.classes_.dtype == model.classes_.dtype
    assert again.classes_.tolist() == model.classes_.tolist()
    np.testing.assert_array_equal(again.predict(PHOTOS), model.predict(PHOTOS))
    assert again.predict(PHOTOS).dtype == model.classes_.dtype
    assert again.score(PHOTOS, labels) == model.score(PHOTOS, labels)

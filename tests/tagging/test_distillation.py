"""Networks that learn from a teacher: a tiny student of a frozen classifier, resumed, saved, and refused."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.tagging.distillation import open_teacher

TABLE = fs.datasets.make_catalogue(160, seed=0)
TRAIN, VALIDATION = TABLE[:120], TABLE[120:]
LABEL = "masterCategory"
HELD_OUT = (VALIDATION.images, VALIDATION[LABEL])


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("FASHIONSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield fs.Classifier("efficientnet_lite0", image_size=64, progress=False).fit(TRAIN.images, TRAIN[LABEL])
    patch.undo()


@pytest.fixture(scope="module")
def folder(teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "classifier"
    teacher.save(folder)
    return folder


def student(teacher, **options):
    training = fs.FineTuning(**{"epochs": 2, "batch_size": 16, **options}, teacher=teacher)
    return fs.Classifier(
        "cnn", weights=None, training=training, image_size=32, random_state=0, progress=False
    )


def opened(teacher, classes=None, **options):
    filled = fs.FineTuning(teacher=teacher, **options).recipe("scratch")
    classes = np.array(teacher.classes_ if classes is None else classes)
    return open_teacher(filled, classes, fs.Classifier.load)


def pixels(images, size):
    read = [fs.Preprocess((size, size))(image) for image in images]
    mean, std = (
        np.array(values, np.float32).reshape(3, 1, 1)
        for values in (fs.Preprocess((1, 1)).mean, fs.Preprocess((1, 1)).std)
    )
    return torch.from_numpy(np.stack(read) * std + mean)


def test_it_says_what_the_classifier_says(teacher):
    asked = opened(teacher, teacher.classes_[::-1])
    photos = VALIDATION.images[:6]
    said = asked(pixels(photos, 64)).softmax(dim=1).numpy()
    np.testing.assert_allclose(said[:, ::-1], teacher.predict_proba(photos), atol=2e-3)


def test_of_more_classes_it_compares_those_to_learn(teacher):
    two = teacher.classes_[[0, 2]]
    photos = VALIDATION.images[:6]
    said = opened(teacher, two)(pixels(photos, 64)).softmax(dim=1).numpy()
    wanted = teacher.predict_proba(photos)[:, [0, 2]]
    np.testing.assert_allclose(said, wanted / wanted.sum(axis=1, keepdims=True), atol=5e-3)


@pytest.mark.slow
def test_a_student_of_the_teacher_alone_learns_what_labels_would_not_teach(teacher):
    shuffled = np.random.default_rng(0).permutation(TRAIN[LABEL])
    model = student(teacher, epochs=25, distillation_weight=1.0, augment="flips", mixup=0.0)
    model.fit(TRAIN.images, shuffled)
    most_frequent = max(np.unique(VALIDATION[LABEL], return_counts=True)[1]) / len(VALIDATION)
    assert model.score(*HELD_OUT) > most_frequent + 0.05
    # What it says of the photos it saw is the teacher's opinion, and not the labels'.
    said = model.predict(TRAIN.images)
    assert (said == teacher.predict(TRAIN.images)).mean() > (said == shuffled).mean() + 0.1


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_it_learns_with_labels_and_blended_photos(teacher, mixup):
    before = {name: tensor.clone() for name, tensor in teacher.backbone_.module.state_dict().items()}
    trainable = [parameter.requires_grad for parameter in teacher.backbone_.module.parameters()]
    taught = student(teacher, mixup=mixup).fit(TRAIN.images, TRAIN[LABEL], validation=HELD_OUT)
    alone = clone(taught).set_params(training=dataclasses.replace(taught.training, teacher=None))
    alone.fit(TRAIN.images, TRAIN[LABEL], validation=HELD_OUT)
    assert taught.backbone_.weights_hash != alone.backbone_.weights_hash
    assert taught.history_.columns == alone.history_.columns
    after = teacher.backbone_.module.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert trainable == [parameter.requires_grad for parameter in teacher.backbone_.module.parameters()]


def test_a_fitted_network_can_be_taught_too(teacher):
    training = fs.FineTuning(epochs=1, batch_size=32, teacher=teacher, unfreeze="last")
    model = fs.Classifier(training=training, image_size=64, random_state=0, progress=False)
    model.fit(TRAIN.images, TRAIN[LABEL], validation=HELD_OUT)
    assert model.score(*HELD_OUT) > 0.6


def test_folder_and_object_are_the_same_teacher(teacher, folder, tmp_path):
    given = student(teacher).fit(TRAIN.images, TRAIN[LABEL], checkpoints=tmp_path / "run")
    named = student(folder).fit(TRAIN.images, TRAIN[LABEL])
    assert named.backbone_.weights_hash == given.backbone_.weights_hash
    # Wherever it lies, the run is recognised by what the teacher is.
    again = student(str(folder)).fit(TRAIN.images, TRAIN[LABEL], checkpoints=tmp_path / "run")
    assert again.backbone_.weights_hash == given.backbone_.weights_hash


def test_a_run_resumes_and_refuses_another_teacher(teacher, killer, tmp_path):
    model = student(teacher, epochs=3, mixup=0.3)
    whole = clone(model).fit(TRAIN.images, TRAIN[LABEL])
    with pytest.raises(killer.StopError):
        clone(model).fit(TRAIN.images, TRAIN[LABEL], checkpoints=tmp_path, loggers=[killer()])
    other = fs.Classifier("efficientnet_lite0", image_size=48, progress=False).fit(TRAIN.images, TRAIN[LABEL])
    for changed in (other, None):
        training = dataclasses.replace(model.training, teacher=changed)
        with pytest.raises(errors.InputError, match="holds the checkpoints of another run: its teacher"):
            clone(model).set_params(training=training).fit(TRAIN.images, TRAIN[LABEL], checkpoints=tmp_path)
    resumed = clone(model).fit(TRAIN.images, TRAIN[LABEL], checkpoints=tmp_path)
    assert resumed.backbone_.weights_hash == whole.backbone_.weights_hash
    assert np.array_equal(resumed.head_.weight, whole.head_.weight)
    assert not any("teacher" in name for name in torch.load(tmp_path / "last.ckpt")["state_dict"])


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_student_is_saved_without_its_teacher(as_folder, teacher, folder, tmp_path):
    where = tmp_path / "teacher"
    shutil.copytree(folder, where)
    model = student(where if as_folder else teacher, epochs=1).fit(TRAIN.images, TRAIN[LABEL])
    before = model.predict_proba(VALIDATION.images)
    model.save(tmp_path / "student")
    shutil.rmtree(where)
    again = fs.Classifier.load(tmp_path / "student")
    assert np.array_equal(again.predict_proba(VALIDATION.images), before)
    assert (
        sum(file.stat().st_size for file in (tmp_path / "student").rglob("*")) < 10e6
    )  # the teacher alone has 13 MB
    again.save(tmp_path / "copy")
    noted = fs.Classifier.load(tmp_path / "copy").training
    assert (
        noted == again.training == fs.FineTuning.from_dict(json.loads(json.dumps(again.training.to_dict())))
    )
    kind, words = (
        (errors.StorageError, "teacher") if as_folder else (errors.InputError, "give it again: training=")
    )
    with pytest.raises(kind, match=words):
        again.fit(TRAIN.images, TRAIN[LABEL])


def test_clones_and_searches_keep_the_teacher(teacher):
    from sklearn.model_selection import cross_val_score

    model = student(teacher, epochs=1)
    assert clone(model).training.teacher.predict(VALIDATION.images).shape == (40,)
    assert clone(student("somewhere")).training == fs.FineTuning(epochs=2, batch_size=16, teacher="somewhere")
    assert len(cross_val_score(model, list(TRAIN.images), TRAIN[LABEL], cv=2)) == 2


def test_a_teacher_that_lacks_classes_is_refused(teacher):
    labels = np.where(TRAIN[LABEL] == "Footwear", "Shoes", TRAIN[LABEL])
    with pytest.raises(
        errors.InputError, match=r"doesn't know 1 of the 3 classes to learn: 'Shoes'; its classes are 'Acc"
    ):
        student(teacher).fit(TRAIN.images, labels)
    numbers = np.unique(TRAIN[LABEL], return_inverse=True)[1]
    with pytest.raises(errors.InputError, match="doesn't know 3 of the 3 classes to learn: 0, 1, 2"):
        student(teacher).fit(TRAIN.images, numbers)


@pytest.mark.parametrize(
    ("teacher", "kind", "words"),
    [
        ("nowhere", errors.StorageError, "nowhere"),
        (fs.Classifier(), errors.InputError, r"teacher=Classifier\(...\) is no fitted Classifier"),
        (fs.Autoencoder("cnn"), errors.InputError, r"teacher=Autoencoder\(...\) is no fitted Classifier"),
        ({"fingerprint": "abc"}, errors.InputError, "fingerprint abc"),
    ],
)
def test_what_is_no_teacher_is_refused(teacher, kind, words):
    with pytest.raises(kind, match=words):
        student(teacher).fit(TRAIN.images, TRAIN[LABEL])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"teacher": 3}, "teacher=3 is not a fitted Classifier or the folder"),
        ({"teacher": {"a": 1}}, "is not a fitted Classifier"),
        ({"temperature": 0}, "temperature=0 is not a number above 0"),
        ({"distillation_weight": 0}, "distillation_weight=0 is not a number above 0 up to 1"),
        ({"distillation_weight": 1.5}, r"distillation_weight=1\.5"),
    ],
)
def test_options_that_can_not_be_used_are_refused(options, words):
    with pytest.raises(errors.InputError, match=words):
        fs.FineTuning(**options)


@pytest.mark.parametrize("option", ["distillation_weight", "temperature"])
def test_what_is_for_a_teacher_needs_one(option):
    with pytest.raises(errors.InputError, match=f"{option}=1.0 is for a network with a teacher"):
        student(None, **{option: 1.0}).fit(TRAIN.images, TRAIN[LABEL])
    with pytest.raises(errors.InputError, match=f"training has {option}=1.0, and an autoencoder"):
        fs.Autoencoder("cnn", training=fs.FineTuning(**{option: 1.0})).fit(TRAIN.images)


TWO = """
import sys
import fashionsearch as fs

if __name__ == "__main__":
    table = fs.datasets.make_catalogue(160, seed=0)
    training = fs.FineTuning(epochs=2, batch_size=16, devices=int(sys.argv[2]), teacher=sys.argv[1])
    model = fs.Classifier("cnn", weights=None, training=training, image_size=32, random_state=3, progress=False)
    model.fit(table.images[:100], table["masterCategory"][:100])
    print(*model.history_["training_loss"])
"""


@pytest.mark.slow
def test_two_processes_ask_the_same_teacher(folder, tmp_path):
    script = tmp_path / "learn.py"
    script.write_text(TWO)
    found = []
    for devices in ("1", "2"):
        done = subprocess.run(
            [sys.executable, script, str(folder), devices], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found.append([float(word) for word in done.stdout.split()])
    one, two = found
    assert two == pytest.approx(one, rel=0.3)

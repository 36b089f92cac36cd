"""`tune`: what it tries, what it finds, killed and gone on with, and bad input."""

import dataclasses
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import fashionsearch as fs
from fashionsearch import errors, pretrained
from fashionsearch.images import digests
from fashionsearch.pretrained import learned
from fashionsearch.training.options import RECIPES
from fashionsearch.tuning.candidates import SPACES

TABLE = fs.datasets.make_catalogue(72, seed=0)
TRAIN, VALIDATION = TABLE[:48], TABLE[48:]
LABEL = "masterCategory"
HELD_OUT = (VALIDATION.images, VALIDATION[LABEL])
SMALL = fs.Classifier("cnn", weights=None, image_size=32, training=fs.FineTuning(batch_size=16))
SPACE = {"epochs": [1, 2], "learning_rate": (1e-3, 1e-2), "augment": ["none", "light"]}


def tune(**options):
    given = {"backbones": [SMALL], "space": SPACE, "trials": 3, "random_state": 0, **options}
    return fs.tune(TRAIN.images, TRAIN[LABEL], validation=HELD_OUT, progress=False, **given)


def rows(tuning):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in tuning.history.rows]


def test_it_returns_the_best_and_what_was_tried(tmp_path):
    tuning = tune()
    assert tuning.history.columns == (
        "trial",
        "state",
        "validation_accuracy",
        "backbone",
        "training",
        "epochs",
        "learning_rate",
        "augment",
        "seconds",
    )
    assert tuning.history["trial"] == [0, 1, 2]
    assert all(1e-3 <= rate <= 1e-2 for rate in tuning.history["learning_rate"])
    assert tuning.accuracy == max(tuning.history["validation_accuracy"])
    assert tuning.best.score(*HELD_OUT) == pytest.approx(tuning.accuracy)
    best = tuning.history.rows[tuning.history["validation_accuracy"].index(tuning.accuracy)]
    for name in SPACE:
        assert getattr(tuning.best.training, name) == best[name]
    assert tuning.best.training.batch_size == 16
    assert SMALL.training == fs.FineTuning(batch_size=16)
    assert not hasattr(SMALL, "backbone_")
    assert repr(tuning).startswith("Tuning: 3 trials, 0 stopped early; best validation accuracy 0.")
    assert "<table>" in tuning._repr_html_()
    tuning.best.save(tmp_path / "best")


def test_the_frozen_head_and_the_recipe_come_first():
    space = {
        "epochs": [1],
        "learning_rate": (2e-4, 5e-3),
        "unfreeze": ["last", "head"],
        "dropout": (0.0, 0.5),
    }
    lite = fs.Classifier(image_size=32, training=fs.FineTuning(batch_size=16))
    tuning = tune(backbones=[lite, SMALL], space=space, trials=4)
    assert tuning.history["training"][:3] == ["frozen", "weights", "scratch"]
    assert tuning.history["backbone"][:3] == ["efficientnet_lite0", "efficientnet_lite0", "cnn"]
    head, recipe, scratch = tuning.history.rows[:3]
    assert [head[name] for name in space] == [None] * 4
    assert recipe["learning_rate"] == RECIPES["weights"].learning_rate
    assert scratch["learning_rate"] == RECIPES["scratch"].learning_rate
    assert recipe["unfreeze"] in ("last", "head")
    assert scratch["unfreeze"] is None


def test_the_recipes_lie_in_the_spaces():
    for case, space in SPACES.items():
        for name, what in space.items():
            value = getattr(RECIPES[case], name)
            assert value in what if isinstance(what, list) else what[0] <= value <= what[1], name


def test_names_alone_are_enough():
    tuning = fs.tune(
        TRAIN.images, TRAIN[LABEL], validation=HELD_OUT, backbones=("cnn",), space={"epochs": [1]}, trials=1
    )
    assert tuning.history["training"] == ["scratch"]


def test_the_same_seed_gives_the_same_trials_and_leaves_the_users_draws_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, again = tune(), tune()
    assert torch.equal(torch.rand(2), expected)
    assert rows(first) == rows(again)
    assert first.best.backbone_.weights_hash == again.best.backbone_.weights_hash
    assert tune(random_state=1, trials=2).history["learning_rate"][1] != first.history["learning_rate"][1]


def test_of_equals_the_first_wins_and_a_repeated_choice_is_not_trained_again():
    space = {"epochs": [1], "augment": ["none"]}
    tuning = tune(space=space, trials=3)
    assert len(set(tuning.history["validation_accuracy"])) == 1
    assert max(tuning.history["seconds"][1:]) < tuning.history["seconds"][0] / 2


@pytest.mark.slow
def test_trials_that_fall_behind_are_stopped():
    hopeless = {"epochs": [5], "learning_rate": [2e-3, 1e-7], "dropout": (0.0, 0.3)}
    tuning = tune(space=hopeless, trials=12)
    stopped = [row for row in tuning.history.rows if row["state"] == "stopped"]
    assert stopped
    assert all(0 <= row["validation_accuracy"] <= tuning.accuracy for row in stopped)
    assert tuning.history["state"][:4] == ["complete"] * 4


def test_a_trial_whose_loss_is_no_number_fails_alone():
    @fs.register_backbone("never_a_number", image_size=32, replace=True)
    def never_a_number(weights):
        return NeverANumber()

    broken = fs.Classifier("never_a_number", weights=None, training=fs.FineTuning(batch_size=16))
    tuning = tune(backbones=[broken, SMALL], space={"epochs": [1]}, trials=2)
    assert tuning.history["state"] == ["failed", "complete"]
    assert np.isnan(tuning.history["validation_accuracy"][0])
    assert tuning.best.backbone == "cnn"
    assert repr(tuning).splitlines()[-1].startswith("0  ")
    with pytest.raises(errors.TrainingError, match="no trial could be trained"):
        tune(backbones=[broken], space={"epochs": [1]}, trials=2)


class NeverANumber(torch.nn.Module):
    """A network with one layer, whose output is no number."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 4)

    def forward(self, images):
        return self.layer(images.mean(dim=(2, 3))) * float("nan")


def test_it_goes_on_where_it_was(tmp_path):
    whole = tune(trials=4)
    begun = tune(trials=2, folder=tmp_path / "study")
    resumed = tune(trials=4, folder=tmp_path / "study")
    assert rows(begun) == rows(whole)[:2]
    assert rows(resumed) == rows(whole)
    assert resumed.best.backbone_.weights_hash == whole.best.backbone_.weights_hash
    read = tune(trials=4, folder=tmp_path / "study", random_state=None)  # and a finished search is only read
    assert read.history.rows == resumed.history.rows
    assert np.array_equal(read.best.predict_proba(HELD_OUT[0]), whole.best.predict_proba(HELD_OUT[0]))
    assert {path.name for path in (tmp_path / "study").iterdir()} == {".lock", "best", "run.json", "study.db"}


SCRIPT = """
import json, sys
import fashionsearch as fs

if __name__ == "__main__":
    table = fs.datasets.make_catalogue(72, seed=0)
    small = fs.Classifier("cnn", weights=None, image_size=32, training=fs.FineTuning(batch_size=16))
    tuning = fs.tune(
        table.images[:48], table["masterCategory"][:48],
        validation=(table.images[48:], table["masterCategory"][48:]),
        backbones=[small], space={"epochs": [6], "learning_rate": (1e-3, 1e-2), "mixup": [0.0, 0.3]},
        trials=3, folder=sys.argv[1], random_state=5, progress=False)
    rows = [{**row, "seconds": 0} for row in tuning.history.rows]
    print(json.dumps([rows, tuning.best.backbone_.weights_hash]))
"""


def run_script(folder):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_killed_search_ends_in_the_same_trials(tmp_path):
    expected = run_script(tmp_path / "whole")
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "killed")])
    last, deadline = tmp_path / "killed" / "trial-1" / "last.ckpt", time.monotonic() + 240
    while not last.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert last.exists()
    assert run_script(tmp_path / "killed") == expected


def test_another_search_is_not_gone_on_with(tmp_path):
    tune(trials=1, folder=tmp_path)
    for changed, words in (
        ({"space": {"epochs": [1]}}, "its space is"),
        ({"random_state": 1}, "its seed is 0, and now it is 1"),
        ({"backbones": [SMALL, SMALL]}, "its backbones is"),
    ):
        with pytest.raises(errors.InputError, match=f"{words}.*give folder= another folder"):
            tune(folder=tmp_path, **changed)
    with pytest.raises(errors.InputError, match="another run: its training is"):
        fs.tune(
            TRAIN.images, TRAIN[LABEL][::-1], validation=HELD_OUT, backbones=[SMALL], space=SPACE, trials=1,
            folder=tmp_path, random_state=0,
        )  # fmt: skip
    (tmp_path / "study.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(errors.CorruptFileError, match=r"study\.db can't be read"):
        tune(trials=1, folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backbones": "cnn"}, "backbones='cnn' is not a list"),
        ({"backbones": []}, "is not a list of one backbone or more"),
        ({"backbones": [3]}, "a backbone's name is text"),
        ({"backbones": ["resnet5O"]}, "Did you mean 'resnet50'"),
        ({"trials": 0}, "trials=0 is not a whole number from 1 up"),
        ({"trials": 2.5}, "trials=2.5"),
        ({"space": [1]}, "is not a mapping"),
        ({"space": {"learning_rat": [1e-3]}}, "Did you mean 'learning_rate'"),
        ({"space": {"devices": [1, 2]}}, "names 'devices', which is no option to search"),
        ({"space": {"dropout": (0.5, 0.1)}}, r"\(low, high\), two numbers"),
        ({"space": {"augment": ("none", "light")}}, r"for choices write a list: \['none', 'light'\]"),
        ({"space": {"augment": []}}, "neither a list of choices nor"),
        ({"space": {"dropout": 0.3}}, "neither a list of choices nor"),
        ({"space": {"dropout": (0.1, 1.5)}}, "dropout=1.5 is not a number from 0 to below 1"),
        ({"space": {"epochs": (1.5, 3)}}, "epochs=1.5 is not a whole number"),
        ({"space": {"augment": ["stronk"]}}, "Did you mean 'strong'"),
        ({"backbones": [fs.Classifier(training=fs.FineTuning(devices=2))]}, "each trial on one device"),
        ({"random_state": -1}, "random_state=-1"),
    ],
)
def test_what_can_not_be_used_is_refused(options, words):
    with pytest.raises(errors.InputError, match=words):
        tune(**options)


def test_labels_are_checked_before_anything_is_tried():
    for validation, words in (
        (HELD_OUT[0], "validation= takes images and labels"),
        ((VALIDATION.images, VALIDATION[LABEL][:3]), "24 images and 3 validation labels"),
        ((VALIDATION.images[:1], ["hat"]), "classes that no training photo has: hat"),
    ):
        with pytest.raises(errors.InputError, match=words):
            fs.tune(TRAIN.images, TRAIN[LABEL], validation=validation, backbones=[SMALL], trials=1)


def test_what_a_shipped_network_learned_from_is_not_chosen_by(monkeypatch):
    shipped = pretrained.open_shipped("fashion")
    arrays = {**shipped.arrays, "learned": np.sort(digests(VALIDATION.images[:4]))}
    monkeypatch.setattr(learned, "open_shipped", lambda name: dataclasses.replace(shipped, arrays=arrays))
    with pytest.warns(
        errors.DataWarning, match="the choice leaves out 4 of 24 photos, which 'fashion' learned"
    ):
        tuning = tune(backbones=["fashion", SMALL], trials=1)
    best = tuning.best.predict(VALIDATION.images[4:]) == VALIDATION[LABEL][4:]
    assert tuning.accuracy == pytest.approx(best.mean())
    arrays["learned"] = np.sort(digests(VALIDATION.images))
    with pytest.raises(errors.DataError, match="the choice is refused"):
        tune(backbones=["fashion"], trials=1)


def test_what_a_classifier_sets_is_not_searched():
    fixed = dataclasses.replace(SMALL.training, epochs=1, augment="none")
    tuning = tune(backbones=[fs.Classifier("cnn", weights=None, image_size=32, training=fixed)], trials=2)
    assert "epochs" not in tuning.history.columns
    assert (tuning.best.training.epochs, tuning.best.training.augment) == (1, "none")


def test_an_augmentation_can_be_a_choice(tmp_path):
    gentle = fs.Augmentation(rotation=3)
    tuning = tune(space={"epochs": [1], "augment": [gentle]}, trials=1, folder=tmp_path)
    assert tuning.best.training.augment == gentle


def test_without_optuna_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(errors.MissingPackageError, match="pip install optuna"):
        tune()

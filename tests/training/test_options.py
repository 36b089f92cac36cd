"""`FineTuning` and `Augmentation`: what they refuse, what they fill in, and that they survive a folder."""

import dataclasses
import json
from pathlib import Path

import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.training.options import RECIPES


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("epochs", 0, "epochs=0 is not a whole number from 1 up"),
        ("epochs", 2.5, "epochs=2.5"),
        ("epochs", True, "epochs=True"),
        ("batch_size", "32", "batch_size='32'"),
        ("learning_rate", 0, "learning_rate=0 is not a number above 0"),
        ("learning_rate", float("nan"), "learning_rate=nan"),
        ("backbone_learning_rate", -1e-3, "backbone_learning_rate=-0.001"),
        ("dropout", 1.0, "dropout=1.0 is not a number from 0 to below 1"),
        ("label_smoothing", 2, "label_smoothing=2"),
        ("mixup", -0.1, "mixup=-0.1 is not a number from 0 up"),
        ("weight_decay", None.__class__, "weight_decay"),
        ("patience", 0, "patience=0"),
        ("ema", 1, "ema=1 is not True or False"),
        ("progressive_resizing", "yes", "progressive_resizing='yes'"),
        ("augment", "stronk", "Did you mean 'strong'"),
        ("unfreeze", "tail", "head, last, upper, all"),
        ("schedule", "cosinus", "Did you mean 'cosine'"),
        ("autotune", None, "autotune=None is not True or False"),
        ("devices", 0, "devices=0"),
        ("devices", None, "devices=None"),
        ("workers", -1, "workers=-1"),
    ],
)
def test_what_can_not_be_used_is_refused(field, value, words):
    with pytest.raises(errors.InputError, match=words):
        fs.FineTuning(**{field: value})


@pytest.mark.parametrize("case", RECIPES)
def test_a_recipe_leaves_nothing_open(case):
    filled = fs.FineTuning().recipe(case)
    left = [field.name for field in dataclasses.fields(filled) if getattr(filled, field.name) is None]
    assert left == [
        "class_weights",
        "teacher",
        "distillation_weight",
        "temperature",
        "workers",
    ]


def test_a_teacher_gets_its_share():
    filled = fs.FineTuning(teacher="classifier", temperature=3.0).recipe("scratch")
    assert (filled.distillation_weight, filled.temperature) == (RECIPES["scratch"].distillation_weight, 3.0)


def test_what_is_given_stays():
    filled = fs.FineTuning(epochs=3, augment="none", progressive_resizing=False).recipe("scratch")
    assert (filled.epochs, filled.augment, filled.progressive_resizing) == (3, "none", False)


def test_a_rate_of_ones_own_moves_that_of_the_backbone():
    recipe = RECIPES["weights"]
    filled = fs.FineTuning(learning_rate=recipe.learning_rate * 3).recipe("weights")
    assert filled.backbone_learning_rate == pytest.approx(recipe.backbone_learning_rate * 3)
    both = fs.FineTuning(learning_rate=0.5, backbone_learning_rate=0.25).recipe("weights", normalised=False)
    assert both.backbone_learning_rate == 0.25


def test_networks_without_normalisation_go_slower():
    plain, usual = (fs.FineTuning().recipe("scratch", normalised=flag) for flag in (False, True))
    assert plain.backbone_learning_rate == pytest.approx(usual.backbone_learning_rate / 10)
    assert plain.learning_rate == usual.learning_rate


@pytest.mark.parametrize(
    "options",
    [
        fs.FineTuning(),
        fs.FineTuning(epochs=3, augment="strong", autotune=True),
        fs.FineTuning(augment=fs.Augmentation(rotation=4, colour=0.2)),
        fs.FineTuning(teacher=Path("classifier"), distillation_weight=0.5),
    ],
)
def test_options_survive_json(options):
    assert fs.FineTuning.from_dict(json.loads(json.dumps(options.to_dict()))) == options


def test_options_can_not_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        fs.FineTuning().epochs = 3


def test_training_options_is_another_name():
    assert fs.TrainingOptions is fs.FineTuning

"""Names that options had before: accepted with a warning, and read from folders without one."""

import copy
import dataclasses

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.training.options import RECIPES

OLD = {
    "average_weights": (False, "ema", False),
    "small_first": (True, "progressive_resizing", True),
    "teacher_weight": (0.25, "distillation_weight", 0.25),
    "precision": ("fastest", "autotune", True),
}


@pytest.mark.parametrize("old", OLD)
def test_an_old_name_is_accepted_with_a_warning(old):
    value, new, meant = OLD[old]
    with pytest.warns(DeprecationWarning, match=old) as warned:
        options = fs.FineTuning(**{old: value})
    assert warned[0].filename == __file__
    assert getattr(options, new) == meant
    assert options == fs.FineTuning(**{new: meant})


def test_an_old_attribute_is_read_with_a_warning():
    with pytest.warns(DeprecationWarning, match="small_first is now called progressive_resizing") as warned:
        assert fs.FineTuning(progressive_resizing=True).small_first
    assert warned[0].filename == __file__
    with pytest.raises(AttributeError, match="has no attribute 'smallfirst'"):
        _ = fs.FineTuning().smallfirst


def test_cached_views_do_nothing_any_more():
    with pytest.warns(DeprecationWarning, match="cached_views does nothing"):
        assert fs.FineTuning(cached_views=3) == fs.FineTuning()


def test_both_names_are_one_too_many():
    with pytest.raises(errors.InputError, match="ema and average_weights, its old name, are both given"):
        fs.FineTuning(ema=True, average_weights=False)


def test_what_a_folder_holds_is_read_without_a_word():
    saved = {
        **RECIPES["weights"].to_dict(),
        "cached_views": 3,
        "precision": None,
        "class_weights": [["a", 2.0]],
    }
    for new, old in (("ema", "average_weights"), ("progressive_resizing", "small_first")):
        saved[old] = saved.pop(new)
    read = fs.FineTuning.from_dict(saved)
    assert read.class_weights == {"a": 2.0}
    assert dataclasses.asdict(read) == {**dataclasses.asdict(RECIPES["weights"]), "class_weights": {"a": 2.0}}
    assert fs.FineTuning.from_dict({"precision": "fastest"}) == fs.FineTuning(autotune=True)
    assert fs.FineTuning.from_dict(read.to_dict()) == read == copy.deepcopy(read)


def test_class_weights_of_the_options_still_count():
    table = fs.datasets.make_catalogue(48, seed=0)
    weights = {"Footwear": 50.0, "Apparel": 1e-3, "Accessories": 1e-3}
    with pytest.warns(DeprecationWarning, match=r"is now the classifier's class_weight"):
        old = fs.FineTuning(epochs=1, batch_size=16, class_weights=weights)
    model = fs.Classifier("cnn", weights=None, image_size=32, random_state=0, progress=False, training=old)
    model.fit(table.images, table["masterCategory"])
    now = model.history_
    model.set_params(training=fs.FineTuning(epochs=1, batch_size=16), class_weight=weights)
    model.fit(table.images, table["masterCategory"])
    assert np.array_equal(now["training_loss"], model.history_["training_loss"])
    model.set_params(training=old)
    with pytest.raises(errors.InputError, match="both given"):
        model.fit(table.images, table["masterCategory"])


def test_a_search_takes_old_names():
    table = fs.datasets.make_catalogue(24, seed=0)
    with pytest.warns(DeprecationWarning, match="average_weights is now called ema"):
        tuning = fs.tune(
            table.images,
            table["masterCategory"],
            validation=(table.images, table["masterCategory"]),
            backbones=[fs.Classifier("cnn", weights=None, image_size=32)],
            space={"epochs": [1], "average_weights": [False]},
            trials=1,
            random_state=0,
            progress=False,
        )
    assert tuning.history["ema"] == [False]

"""Which attribute is above which, and tags that go together."""

import numpy as np
import pytest

from fashionsearch import errors
from fashionsearch.tagging.taxonomy import Taxonomy, learn_taxonomy
from fashionsearch.targets import make_targets

KIND = ["shirt", "shirt", "jeans", "jeans", "boot", "boot", "sandal", "sandal"] * 4
PART = ["top", "top", "bottom", "bottom", "shoe", "shoe", "shoe", "shoe"] * 4
WORLD = ["apparel"] * 4 + ["footwear"] * 4
LABELS = {"kind": KIND, "part": PART, "world": WORLD * 4, "colour": ["red", "blue", "red", "green"] * 8}


def targets(**changed):
    labels = {**LABELS, **changed}
    return make_targets(["photo"] * 32, labels, allow_unknown=True)


def test_it_is_learned_from_labels():
    taxonomy = learn_taxonomy(targets(), "auto")
    assert taxonomy.parents == {"kind": "part", "part": "world"}
    assert taxonomy.path("kind") == ["world", "part", "kind"]
    assert taxonomy.order() == ["world", "part", "kind"]
    classes = targets().classes
    above = {
        str(kind): str(classes["part"][place])
        for kind, place in zip(classes["kind"], taxonomy.above["kind"], strict=True)
    }
    assert above == {"shirt": "top", "jeans": "bottom", "boot": "shoe", "sandal": "shoe"}


def test_few_photos_or_contradicting_labels_make_none():
    mixed = ["apparel", "footwear"] * 16
    assert "part" not in learn_taxonomy(targets(world=mixed), "auto").parents
    scarce = make_targets(
        ["photo"] * 4, {"kind": ["a", "b", "c", "d"], "world": ["x", "x", "y", "y"]}, allow_unknown=True
    )
    assert learn_taxonomy(scarce, "auto").parents == {}
    assert learn_taxonomy(targets(), None).parents == {}


def test_unknown_labels_say_nothing():
    part = [""] * 8 + PART[8:]
    assert learn_taxonomy(targets(part=part), "auto").parents["kind"] == "part"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"kind": "part", "part": "kind"}, "circle: kind > part > kind"),
        ({"kind": "kind"}, "circle"),
        ({"kind": "parts"}, "Did you mean 'part'"),
        (["kind", "part"], "mapping"),
    ],
)
def test_what_is_given_wrongly_is_refused(given, told):
    with pytest.raises(errors.InputError, match=told):
        learn_taxonomy(targets(), given)


def test_tags_are_the_most_probable_that_go_together():
    taxonomy = Taxonomy({"kind": "world"}, {"kind": np.array([0, 0, 1])})
    probabilities = {
        "world": np.array([[0.45, 0.55], [0.9, 0.1]]),
        "kind": np.array([[0.9, 0.05, 0.05], [0.1, 0.2, 0.7]]),
        "colour": np.array([[0.2, 0.8], [0.6, 0.4]]),
    }
    chosen = taxonomy.consistent(probabilities)
    # Of the first photo the kind is sure, and the world is not: 0.45 × 0.9 > 0.55 × 0.05. Of the second likewise.
    assert {name: values.tolist() for name, values in chosen.items()} == {
        "world": [0, 0],
        "kind": [0, 1],
        "colour": [1, 0],
    }


def test_a_class_with_nothing_below_it_can_be_chosen():
    taxonomy = Taxonomy({"kind": "world"}, {"kind": np.array([0, 0])})
    chosen = taxonomy.consistent({"world": np.array([[0.01, 0.99]]), "kind": np.array([[0.5, 0.5]])})
    assert (chosen["world"].tolist(), chosen["kind"].tolist()) == ([1], [-1])


def test_a_class_comes_and_goes_at_every_level():
    taxonomy = Taxonomy({"kind": "world"}, {"kind": np.array([0, 0, 1])})
    assert taxonomy.with_class("kind", 1).above["kind"].tolist() == [0, 0, 1, 1]
    assert taxonomy.with_class("world", None) is taxonomy
    assert taxonomy.without_class("kind", 0).above["kind"].tolist() == [0, 1]
    assert taxonomy.without_class("world", 0).above["kind"].tolist() == [-1, -1, 0]


def test_what_is_nearly_always_the_same_is_above_nothing():
    kinds = np.random.default_rng(0).integers(0, 8, 1000).astype(str).tolist()
    seasons = ["Winter" if place % 200 == 0 else "Summer" for place in range(1000)]
    skewed = make_targets(["photo"] * 1000, {"kind": kinds, "season": seasons})
    assert learn_taxonomy(skewed, "auto").parents == {}


def test_a_class_below_a_removed_one_can_still_be_chosen():
    taxonomy = Taxonomy({"kind": "world"}, {"kind": np.array([0, 1, 2])}).without_class("world", 0)
    chosen = taxonomy.consistent({"world": np.array([[0.6, 0.4]]), "kind": np.array([[0.98, 0.01, 0.01]])})
    assert (chosen["world"].tolist(), chosen["kind"].tolist()) == ([0], [0])

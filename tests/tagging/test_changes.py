"""A class more, a class less and corrections, as functions from one state to another."""

import numpy as np
import pytest

from fashionsearch import errors
from fashionsearch.tagging.changes import add_class, correct, remove_class
from fashionsearch.tagging.head_fit import fit_head
from fashionsearch.tagging.state import State
from fashionsearch.tagging.taxonomy import Taxonomy
from fashionsearch.targets import Targets

DIM = 16


def photos(kind, n, seed):
    """Return n embeddings around a direction of their own."""
    direction = np.random.default_rng(kind).normal(size=DIM)
    vectors = direction + 0.6 * np.random.default_rng(seed).normal(size=(n, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def state():
    labels = np.repeat(np.arange(4), 40)
    embeddings = np.concatenate([photos(kind, 40, 100 + kind) for kind in range(4)])
    worlds = labels // 2
    classes = {"kind": np.array(["a", "b", "c", "d"]), "world": np.array(["x", "y"])}
    heads = {
        name: fit_head(embeddings, values, validation=None)[0]
        for name, values in (("kind", labels), ("world", worlds))
    }
    return State(
        heads,
        Taxonomy({"kind": "world"}, {"kind": np.array([0, 0, 1, 1])}),
        Targets(np.stack([labels, worlds], axis=1), classes),
        embeddings,
        0.0,
        np.zeros((0, DIM), np.float32),
        np.zeros((0, 2), np.int64),
    )


def accuracy(state, kind, seed=7):
    return (state.heads["kind"].logits(photos(kind, 50, seed)).argmax(axis=1) == kind).mean()


def test_five_photos_make_a_class(state):
    before = [accuracy(state, kind) for kind in range(4)]
    added = add_class(state, "kind", "e", photos(4, 5, 1), parent="y")
    assert added.targets.classes["kind"].tolist() == ["a", "b", "c", "d", "e"]
    assert accuracy(added, 4) > 0.7
    assert np.mean(before) - np.mean([accuracy(added, kind) for kind in range(4)]) < 0.03
    assert added.taxonomy.above["kind"].tolist() == [0, 0, 1, 1, 1]
    assert state.targets.classes["kind"].tolist() == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(added.heads["kind"].weight[:4], state.heads["kind"].weight)


def test_without_a_parent_the_photos_decide(state):
    added = add_class(state, "kind", "e", photos(0, 5, 1))
    assert added.taxonomy.above["kind"][-1] == 0


def test_a_class_added_and_removed_leaves_what_was(state):
    back = remove_class(add_class(state, "kind", "e", photos(4, 5, 1)), "kind", "e")
    np.testing.assert_array_equal(back.heads["kind"].weight, state.heads["kind"].weight)
    assert back.targets.classes["kind"].tolist() == ["a", "b", "c", "d"]
    assert (back.corrections == -1).all()
    fewer = remove_class(state, "kind", "b")
    assert fewer.targets.of("kind").tolist() == [0] * 40 + [-1] * 40 + [1] * 40 + [2] * 40
    assert fewer.taxonomy.above["kind"].tolist() == [0, 1, 1]
    with pytest.raises(errors.InputError, match="single class"):
        remove_class(state, "world", "x")


def test_corrections_are_followed_and_the_rest_stays(state):
    wrong = photos(0, 3, 50)
    corrected = correct(state, wrong, {"kind": np.array([1, 1, 1])})
    assert corrected.heads["kind"].logits(wrong).argmax(axis=1).tolist() == [1, 1, 1]
    assert np.mean([accuracy(corrected, kind) for kind in (1, 2, 3)]) > 0.85
    assert corrected.heads["world"] is state.heads["world"]
    assert corrected.corrections.tolist() == [[1, -1]] * 3


def test_a_later_correction_of_a_picture_overrules_an_earlier_one(state):
    picture = photos(0, 1, 50)
    once = correct(state, picture, {"kind": np.array([1])})
    twice = correct(once, picture, {"kind": np.array([2]), "world": np.array([1])})
    assert twice.corrections.tolist() == [[2, 1]]
    assert twice.heads["kind"].logits(picture).argmax() == 2


def test_the_learned_label_of_a_corrected_picture_counts_no_more(state):
    corrected = correct(state, state.embeddings[:1], {"kind": np.array([3])})
    assert corrected.targets.indices[0].tolist() == [-1, 0]
    assert state.targets.indices[0].tolist() == [0, 0]
    assert corrected.heads["kind"].logits(state.embeddings[:1]).argmax() == 3


def test_a_known_picture_that_becomes_a_new_class_is_no_example_of_its_old_one(state):
    picture = state.embeddings[:1]
    once = correct(state, picture, {"kind": np.array([3])})
    added = add_class(once, "kind", "e", picture)
    assert added.corrections.tolist() == [[4, -1]]
    assert added.targets.indices[0, 0] == -1
    again = correct(added, photos(1, 1, 60), {"kind": np.array([1])})
    assert again.heads["kind"].logits(picture).argmax() == 4


def test_names_may_be_numpy_scalars(state):
    added = add_class(state, "kind", np.str_("e"), photos(4, 5, 1))
    assert added.targets.classes["kind"].tolist()[-1] == "e"
    assert len(remove_class(added, "kind", np.str_("e")).targets.classes["kind"]) == 4

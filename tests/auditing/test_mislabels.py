"""What a product's other photos say of a label."""

import numpy as np

from fashionsearch.auditing.mislabels import agreement, mislabels, with_products
from fashionsearch.targets import Targets

PRODUCTS = np.repeat(np.arange(20), 3)


def test_agreement_is_that_of_pairs():
    assert agreement(np.array([0, 0, 1, 1, -1]), np.array([4, 4, 4, 7, 7])) == 1 / 3
    assert agreement(np.array([0, 1]), np.array([0, 1])) == 0


def test_other_photos_of_a_product_have_a_say_where_products_agree():
    labels = np.repeat(np.arange(20) % 2, 3)
    labels[0] = 1  # the two others are of class 0
    said = np.full((60, 2), 0.5)
    together = with_products(said, labels, PRODUCTS)
    assert together[0, 0] > 0.9
    assert np.allclose(together.sum(axis=1), 1)
    assert together[3, labels[3]] > 0.9


def test_they_have_none_where_photos_of_a_product_differ_anyway():
    labels = np.tile([0, 1, 0], 20)
    said = np.full((60, 2), 0.5)
    assert with_products(said, labels, PRODUCTS) is said


def test_the_least_probable_label_comes_first_and_unknown_ones_are_left_out():
    targets = Targets(np.array([[0], [1], [-1], [0]]), {"kind": np.array(["a", "b"])})
    said = {"kind": np.array([[0.2, 0.8], [0.95, 0.05], [0.5, 0.5], [0.9, 0.1]])}
    found = mislabels(said, targets, np.array([0, 2, 3, 4]), np.array(list("vwxyz"), object))
    assert [(each.row, each.source, each.given, each.suggested) for each in found] == [
        (2, "x", "b", "a"),
        (0, "v", "a", "b"),
    ]
    assert np.allclose([each.score for each in found], [0.95, 0.8])

"""Copies and leaks, from digests, features and thumbnails."""

import numpy as np

from fashionsearch.auditing.duplicates import Pairs, duplicates, find_pairs, leaks

SOURCES = np.full(6, None)
ROWS = np.arange(6)


def test_near_is_by_features_or_by_features_and_thumbnails():
    copies = np.array([0, 1, 2, 3, 4])
    neighbours = np.array([[1], [0], [3], [2], [0]]), np.array([[0.98], [0.98], [0.9], [0.9], [0.9]])
    thumbnails = np.zeros((5, 768), np.float32)
    thumbnails[4] = 50
    pairs = find_pairs(copies, thumbnails, neighbours)
    assert pairs.near.tolist() == [[0, 1], [2, 3]]
    assert find_pairs(np.zeros(5, int), thumbnails, neighbours).near.tolist() == []


def test_a_mirrored_photo_is_a_copy_and_alike_features_alone_make_none():
    photo = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.float32)
    thumbnails = np.stack([photo, photo[:, ::-1], photo[::-1]]).reshape(3, -1)
    neighbours = np.array([[1, 2], [0, 2], [0, 1]]), np.full((3, 2), 0.99)
    assert find_pairs(np.arange(3), thumbnails, neighbours).near.tolist() == [[0, 1]]


def test_each_copy_is_named_once_with_the_first_of_another_product():
    pairs = Pairs(np.array([0, 0, 0, 1, 2, 2]), np.array([[2, 3], [1, 3]]), np.array([0.98, 0.99]))
    found = duplicates(pairs, np.array([0, 0, 1, 2, 3, 3]), ROWS, SOURCES)
    assert [(each.of, each.row, each.exact) for each in found] == [(0, 2, True), (1, 3, False)]


def test_a_leak_is_between_two_parts_for_the_strongest_reason():
    pairs = Pairs(np.array([0, 1, 0, 3, 4, 5]), np.array([[1, 2], [1, 3]]), np.array([0.99, 0.98]))
    parts = np.array(["train", "train", "test", "test", "", "test"])
    found = leaks(pairs, np.array([0, 1, 2, 3, 0, 1]), parts, ["train", "test"], ROWS, SOURCES)
    assert [(each.of, each.row, each.reason) for each in found] == [
        (0, 2, "exact copy"),
        (1, 5, "same product"),
        (1, 3, "near copy"),
    ]

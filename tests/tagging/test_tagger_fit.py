"""Which photos stand in for a validation part: their share of each class, and never all of one."""

import numpy as np
import pytest

from fashionsearch.tagging.tagger_fit import Task, _folds, _set_apart
from fashionsearch.targets import UNKNOWN, Targets
from fashionsearch.training import MetricLearning


def task(seed=0):
    return Task(MetricLearning(), {}, 8, 0, seed)


def targets(n=400, seed=0):
    """Frequent kinds and rare ones, and an attribute beside them whose rarest class has a single photo."""
    rng = np.random.default_rng(seed)
    kind = np.concatenate([[0], [1] * 2, [2] * 3, rng.integers(3, 8, n - 6)])
    colour = rng.integers(0, 4, n)
    colour[n // 2], colour[n // 2 + 1 :: 50] = 4, UNKNOWN
    order = rng.permutation(n)
    return Targets(np.stack([kind, colour], axis=1)[order], {"kind": np.arange(8), "colour": np.arange(5)})


@pytest.mark.parametrize("folds", [4, 10])
@pytest.mark.parametrize("seed", range(10))
def test_no_class_loses_all_its_photos(folds, seed):
    given = targets(seed=seed)
    parts = _folds(given, task(seed), folds)
    for rows, rest in parts:
        assert sorted([*rows, *rest]) == list(range(400))
        for name, classes in given.classes.items():
            assert set(given.of(name)[rows]) - {UNKNOWN} == set(range(len(classes)))
            shares = np.bincount(given.of("kind")[rest], minlength=8)[3:] / np.bincount(given.of("kind"))[3:]
            np.testing.assert_allclose(shares, 1 / folds, atol=0.06)
    held = np.concatenate([rest for _, rest in parts])
    assert len(held) == len(set(held)) >= 396


def test_a_network_that_learns_keeps_a_photo_of_every_class():
    given = targets()
    photos = [f"{place}.jpg" for place in range(400)]
    kept, learned, (apart, unseen) = _set_apart(photos, given, task())
    assert 35 <= len(apart) <= 41
    assert sorted([*kept, *apart]) == sorted(photos)
    assert [given.indices[photos.index(photo)].tolist() for photo in apart] == unseen.indices.tolist()
    for name, classes in given.classes.items():
        assert set(learned.of(name)) - {UNKNOWN} == set(range(len(classes)))


def test_photos_that_all_differ_are_all_learned_from():
    each = Targets(np.arange(6)[:, None], {"kind": np.arange(6)})
    assert [len(rest) for _, rest in _folds(each, task(), 4)] == [0] * 4

"""Probabilities from photos of other products alone."""

import numpy as np
import pytest

from fashionsearch.auditing.features import neighbours_of, of_others, reduced
from fashionsearch.auditing.out_of_fold import _fold_of, out_of_fold
from fashionsearch.targets import Targets


@pytest.fixture(scope="module")
def parts():
    generator = np.random.default_rng(0)
    labels = np.arange(200) % 4
    centres = generator.normal(0, 1, (4, 16))
    features = reduced((centres[labels] + generator.normal(0, 0.5, (200, 16))).astype(np.float32))
    return features, labels


def say(features, labels, groups, **options):
    targets = Targets(labels[:, None], {"kind": np.array(list("abcd"))})
    others = of_others(neighbours_of(features), groups)
    return out_of_fold(features, targets, groups, others, seed=0, progress=False)["kind"]


def test_wrong_labels_are_improbable(parts):
    features, labels = parts
    wrong = labels.copy()
    wrong[:5] = (labels[:5] + 1) % 4
    said = say(features, wrong, np.arange(200))
    assert np.allclose(said.sum(axis=1), 1)
    given = said[np.arange(200), wrong]
    assert given[:5].max() < np.quantile(given[5:], 0.05)


def test_a_photo_is_not_judged_by_its_own_product(parts):
    features, labels = parts
    features, labels = features.copy(), labels.copy()
    features[:8] = features[0] + 20  # eight photos of a product that is like nothing else
    labels[:8] = 0
    groups = np.arange(200)
    alone = say(features, labels, groups)
    groups[:8] = 0
    together = say(features, labels, groups)
    assert alone[:8, 0].min() > 0.9
    assert together[:8, 0].max() < alone[:8, 0].min()


def test_products_stay_in_one_fold():
    groups = np.repeat(np.arange(30), 4)
    folds = _fold_of(groups, 1).reshape(30, 4)
    assert (folds == folds[:, :1]).all()
    assert set(folds.ravel().tolist()) == set(range(5))

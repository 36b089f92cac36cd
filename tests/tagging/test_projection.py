"""The projection that is learned on a frozen network's features."""

import numpy as np
import pytest
import torch

from fashionsearch import errors
from fashionsearch.tagging.projection import fit_projection, project, standardised
from fashionsearch.targets import Targets
from fashionsearch.training import MetricLearning

rng = np.random.default_rng(0)
LABELS = rng.integers(0, 4, (300, 1))
FEATURES = (rng.normal(size=(4, 20))[LABELS[:, 0]] * 3 + rng.normal(size=(300, 20))).astype(np.float32)
TARGETS = Targets(LABELS, {"kind": np.arange(4)})
ONES = [np.ones(4, np.float32)]


def fitted(features=FEATURES, **options):
    given = {"metric": MetricLearning(), "class_weights": ONES, "embedding_dim": 6, "seed": 0, **options}
    return fit_projection(features, TARGETS, **given)


def test_it_learns_and_its_embeddings_have_length_one():
    projection, (head,), history = fitted()
    embeddings = project(projection, FEATURES)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert (head.logits(embeddings).argmax(axis=1) == LABELS[:, 0]).mean() > 0.95
    assert history["training_loss"][-1] < history["training_loss"][0]


def test_views_are_learned_from_too():
    views = np.stack([FEATURES + rng.normal(size=FEATURES.shape).astype(np.float32)])
    projection, (head,), _ = fitted(views=views)
    assert (head.logits(project(projection, views[0])).argmax(axis=1) == LABELS[:, 0]).mean() > 0.9


@pytest.mark.parametrize(
    "metric", [MetricLearning(weight=0), MetricLearning(balance=1.0), MetricLearning(distillation=1.0)]
)
def test_every_metric_learns(metric):
    projection, (head,), _ = fitted(metric=metric)
    assert (head.logits(project(projection, FEATURES)).argmax(axis=1) == LABELS[:, 0]).mean() > 0.9


@pytest.mark.parametrize("loss", ["proxy_anchor", "multi_similarity", "triplet", "arcface"])
def test_the_losses_of_pytorch_metric_learning_learn(loss):
    pytest.importorskip("pytorch_metric_learning")
    projection, (head,), _ = fitted(metric=MetricLearning(loss=loss, weight=1.0))
    assert (head.logits(project(projection, FEATURES)).argmax(axis=1) == LABELS[:, 0]).mean() > 0.9


def test_features_have_no_copies_and_a_temperature_for_them_is_no_hindrance():
    pytest.importorskip("pytorch_metric_learning")
    metric = MetricLearning(loss="triplet", weight=1.0, copies=2, temperature=0.2)
    (one, _, _), (other, _, _) = (
        fitted(metric=metric),
        fitted(metric=MetricLearning(loss="triplet", weight=1.0)),
    )
    np.testing.assert_array_equal(project(one, FEATURES), project(other, FEATURES))


def test_the_callers_random_state_stays_as_it_is():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    fitted()
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_dead_feature_carries_nothing():
    features = np.concatenate([FEATURES, np.full((300, 1), 7.0, np.float32)], axis=1)
    assert standardised(features, 6, 0).scale[-1] == 0
    assert np.isfinite(project(fitted(features)[0], features + np.float32(0.5))).all()


def test_damaged_features_are_refused():
    features = FEATURES.copy()
    features[3, 2] = np.nan
    with pytest.raises(errors.WeightsError, match="image 3"):
        fitted(features)

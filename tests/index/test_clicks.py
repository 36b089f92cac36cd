"""Weights of axes, learned from clicks."""

import numpy as np
import pytest

from fashionsearch.index import clicks


def pages(power=1.0, count=1500, dim=6, seed=0):
    """Return pages whose items are good by the first two axes, and are looked at by their places."""
    rng = np.random.default_rng(seed)
    queries = rng.normal(size=(count, dim))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    items = queries[:, None] + rng.normal(size=(count, 10, dim)) * rng.uniform(0.1, 0.6, size=(count, 10, 1))
    items /= np.linalg.norm(items, axis=2, keepdims=True)
    order = np.argsort(-np.einsum("nd,nkd->nk", queries, items), axis=1)
    items = np.take_along_axis(items, order[..., None], axis=1)
    good = 1 / (1 + np.exp(-12 * (np.einsum("nd,nkd->nk", queries[:, :2], items[..., :2]) - 0.3)))
    seen = rng.random((count, 10)) < np.arange(1, 11.0) ** -power
    return clicks.Pages(
        queries.astype(np.float32),
        np.repeat(np.arange(count), 10),
        items.reshape(-1, dim).astype(np.float32),
        np.tile(np.arange(10), count),
        (seen & (rng.random((count, 10)) < good)).ravel(),
    )


@pytest.mark.parametrize("power", [1.0, 0.5, 0.0])
def test_the_bias_of_positions_is_told_from_goodness(power):
    chances = clicks.looked_at(pages(power, count=4000))
    assert chances[0] == 1
    assert np.abs(chances - np.arange(1, 11.0) ** -power).max() < 0.1


def test_axes_that_matter_get_the_larger_weights():
    log = pages()
    chances = clicks.looked_at(log)
    axes = np.eye(6, dtype=np.float32)
    metric = clicks.goodness(log, chances, axes).metric()
    assert metric.weights[:2].min() > metric.weights[2:].max()
    assert metric.weights.min() >= 0
    changed = metric(log.queries[:3])
    assert np.allclose(changed, log.queries[:3] * metric.weights, atol=1e-5)


def test_goodness_is_a_chance_and_rises_with_likeness():
    log = pages()
    model = clicks.goodness(log, clicks.looked_at(log), np.eye(6, dtype=np.float32))
    query = log.queries[:1].repeat(2, axis=0)
    near, far = model(query, np.stack([query[0], -query[0]]), np.full(2, 0.8))
    assert 0 <= far < near <= 1


def test_clicks_against_likeness_teach_nothing():
    log = pages()
    alike = clicks.likenesses(log.queries[log.page], log.items)
    wrong = clicks.Pages(log.queries, log.page, log.items, log.places, alike < np.quantile(alike, 0.1))
    model = clicks.goodness(wrong, np.ones(10), np.eye(6, dtype=np.float32))
    assert model.slope <= 0
    assert model.metric().weights.tolist() == [1] * 6


def test_axes_are_orthonormal_and_few():
    vectors = np.random.default_rng(0).normal(size=(400, 200)).astype(np.float32)
    axes = clicks.principal_axes(vectors)
    assert axes.shape == (clicks.AXES, 200)
    assert np.allclose(axes @ axes.T, np.eye(clicks.AXES), atol=1e-4)


def test_a_query_that_would_vanish_stays():
    metric = clicks.ClickMetric(np.eye(2, dtype=np.float32), np.array([0, 1], np.float32))
    assert metric(np.array([[1, 0], [1, 1]], np.float32)).tolist() == [[1, 0], [0, 1]]


def test_it_comes_back_as_it_was_and_damage_is_told():
    metric = clicks.ClickMetric(np.eye(2, dtype=np.float32), np.ones(2, np.float32), in_use=True)
    config, arrays = metric.state()
    from fashionsearch.storage import Fields

    again = clicks.ClickMetric.from_state(Fields(config), arrays)
    assert again.in_use
    assert again.weights.tolist() == [1, 1]
    for damaged in (
        {"weights": -np.ones(2, np.float32)},
        {"axes": np.eye(3, dtype=np.float32)},
        {"axes": np.eye(2)},
    ):
        with pytest.raises(ValueError, match=r"weight|shape|dtype"):
            clicks.ClickMetric.from_state(Fields(config), {**arrays, **damaged})

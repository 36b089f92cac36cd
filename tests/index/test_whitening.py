"""Whitening: what is common to all counts less."""

import numpy as np
import pytest

from fashionsearch.errors import CorruptFileError
from fashionsearch.index.whitening import Whitening
from fashionsearch.storage import Fields


def sample(count=500, dim=6, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, dim)) * np.arange(1, dim + 1) + 5
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_directions_become_more_alike_and_the_mean_goes():
    vectors = sample()
    whitening = Whitening.fitted(vectors)
    plain = np.cov(vectors, rowvar=False)
    white = np.cov((vectors - whitening.mean) @ whitening.matrix, rowvar=False)
    assert np.linalg.cond(white) < np.linalg.cond(plain) / 2
    assert np.allclose(((vectors - whitening.mean) @ whitening.matrix).mean(axis=0), 0, atol=1e-3)
    assert np.allclose(whitening.matrix, whitening.matrix.T, atol=1e-5)
    assert np.allclose(np.linalg.norm(whitening(vectors), axis=1), 1, atol=1e-5)


def test_what_is_all_alike_or_nothing_stays_finite():
    same = np.repeat(sample(1), 3, axis=0)
    assert np.isfinite(Whitening.fitted(same)(same)).all()
    assert Whitening.fitted(same)(same[:1]).tolist() == [[0] * 6]
    nothing = Whitening.fitted(np.zeros((0, 6), np.float32))
    assert nothing.items == 1
    assert np.allclose(nothing(same[:1]), same[:1])
    assert Whitening.fitted(sample(), items=9000).items == 9000


def test_it_comes_back_as_it_was():
    whitening = Whitening.fitted(sample())
    config, arrays = whitening.state()
    again = Whitening.from_state(Fields(config), arrays)
    assert (again.items, again.name) == (500, "whitening")
    assert np.array_equal(again(sample(3)), whitening(sample(3)))


@pytest.mark.parametrize(
    ("config", "changed"),
    [
        ({"items": 0}, {}),
        ({}, {}),
        ({"items": 5}, {"mean": np.zeros(5, np.float32)}),
        ({"items": 5}, {"matrix": np.full((6, 6), np.nan, np.float32)}),
        ({"items": 5}, {"matrix": np.eye(6)}),
    ],
)
def test_damage_is_told(config, changed):
    _, arrays = Whitening.fitted(sample()).state()
    with pytest.raises((ValueError, CorruptFileError)):
        Whitening.from_state(Fields(config), {**arrays, **changed})

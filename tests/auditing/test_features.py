"""Features of equal weight, and neighbours of other products."""

import numpy as np
import pytest

from fashionsearch import errors
from fashionsearch.auditing.features import embed, neighbours_of, of_others, reduced


def test_numbers_that_never_vary_are_left_out_and_the_rest_have_a_mean_deviation_of_one():
    generator = np.random.default_rng(0)
    vectors = np.column_stack([generator.normal(0, 100, 50), generator.normal(5, 1, 50), np.ones(50)])
    found = reduced(vectors.astype(np.float32))
    assert np.isclose(found.std(axis=0).mean(), 1)
    assert np.isfinite(reduced(np.ones((4, 3), np.float32))).all()


def test_neighbours_of_other_products_alone():
    angles = np.deg2rad([0, 1, 2, 40, 90])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    rows, cosines = of_others(neighbours_of(vectors), np.array([0, 0, 1, 1, 1]))
    assert rows[0].tolist() == [2, 3, 4, -1]
    assert np.isclose(cosines[0, 0], np.cos(np.deg2rad(2)))
    assert rows[4].tolist() == [1, 0, -1, -1]


def test_an_encoder_that_returns_no_numbers_is_named():
    class Broken:
        dim = 2

        def embed(self, images):
            return np.full((len(images), 2), np.nan, np.float32)

    with pytest.raises(errors.InputError, match="finite"):
        embed(Broken(), [np.zeros((2, 2, 3), np.uint8)])

"""The map between two encoders' spaces."""

import numpy as np
import pytest

from fashionsearch.index import mapping
from fashionsearch.index.queries import unit

RNG = np.random.default_rng(0)
HIDDEN = RNG.normal(size=(600, 12)).astype(np.float32)


def pairs(old_dim, new_dim, noise=0.0):
    """Return the vectors of 600 things by two encoders, which see them in different bases."""
    rng = np.random.default_rng(1)
    both = []
    for dim in (old_dim, new_dim):
        basis = np.linalg.qr(rng.normal(size=(max(dim, 12), max(dim, 12))))[0][:12, :dim]
        both.append((HIDDEN @ basis + noise * rng.normal(size=(600, dim))).astype(np.float32))
    return both


@pytest.mark.parametrize(("old_dim", "new_dim"), [(12, 12), (20, 12), (12, 20), (30, 24)])
def test_what_two_encoders_see_alike_is_found_alike(old_dim, new_dim):
    old, new = pairs(old_dim, new_dim)
    learned = mapping.learn(old[:400], new[:400])
    found = mapping.similarities(learned, old[400:], new[400:])
    assert mapping.recalls(found, unit(new[400:]) @ unit(new[400:]).T).mean() > 0.97
    np.testing.assert_allclose(unit(learned.estimates(old[400:])), unit(new[400:]), atol=0.05)


def test_a_query_and_an_estimate_give_the_same_order_but_for_lengths():
    old, new = pairs(20, 14, noise=0.3)
    learned = mapping.learn(old, new)
    through_query = learned.probes(new[:5]) @ unit(old).T
    centred = unit(new[:5]) - learned.new_mean
    through_items = centred @ ((unit(old) - learned.old_mean) @ learned.weights).T
    differences = through_query - through_items
    np.testing.assert_allclose(differences, np.repeat(differences[:, :1], 600, axis=1), atol=1e-5)


def test_scales_are_brought_together():
    old, new = pairs(20, 14, noise=0.5)
    learned = mapping.learn(old[:400], new[:400])
    old, new = old[400:], new[400:]
    found, truth = mapping.similarities(learned, old, new), unit(new) @ unit(new).T
    np.fill_diagonal(found, -1)
    near = np.argsort(-found, axis=1)[:, :40]  # a fifth, as many as the lines are learned from
    ours, theirs = (np.take_along_axis(each, near, 1) for each in (learned.rescaled(found), truth))
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.05)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_few_pairs_are_no_error(count):
    old, new = pairs(8, 6)
    learned = mapping.learn(old[:count], new[:count])
    assert np.isfinite(learned.probes(new)).all()
    assert (np.linalg.norm(learned.probes(new), axis=1) > 0).all()
    assert (np.linalg.norm(learned.estimates(old), axis=1) > 0).all()


def test_it_comes_back_from_its_state_and_from_nothing_else():
    old, new = pairs(8, 6)
    learned = mapping.learn(old, new)
    config, arrays = learned.state()
    again = mapping.SpaceMap.from_state(config, arrays, (8, 6))
    np.testing.assert_array_equal(again.probes(new), learned.probes(new))
    for changed in ({"kind": "network"}, {"slope": float("nan")}, {"level": "1"}):
        with pytest.raises(ValueError, match="isn't one that was learned"):
            mapping.SpaceMap.from_state({**config, **changed}, arrays, (8, 6))
    with pytest.raises(ValueError, match="weights of the map"):
        mapping.SpaceMap.from_state(config, arrays, (8, 7))


def test_sketches_tell_vectors_apart_and_not_their_lengths():
    sketches = mapping.sketch(HIDDEN)
    np.testing.assert_allclose(mapping.sketch(3 * HIDDEN), sketches, atol=1e-6)
    distances = np.abs(sketches[:, None] - sketches[None]).max(axis=2) + np.eye(600)
    assert distances.min() > 1e-3

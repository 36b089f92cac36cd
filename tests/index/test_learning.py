"""What an index learns beside its items is kept with them."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index.clicks import ClickMetric


def vectors(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


def metric(weights=(3, 1, 1, 0.1)):
    return ClickMetric(np.eye(4, dtype=np.float32), np.array(weights, np.float32))


def test_it_goes_with_a_saved_and_with_an_opened_folder(tmp_path):
    index = fs.VisualIndex(dim=4)
    index.add_vectors(vectors(30))
    index._keep(metric())
    index.use_clicks(True)
    found = index.search_vectors(vectors(3, seed=1)).ids.tolist()
    index.save(tmp_path / "saved")
    assert fs.VisualIndex.load(tmp_path / "saved").search_vectors(vectors(3, seed=1)).ids.tolist() == found
    with fs.VisualIndex.open(tmp_path / "opened", dim=4) as opened:
        opened.add_vectors(vectors(30))
        before = opened.search_vectors(vectors(3, seed=1)).ids.tolist()
        opened._keep(metric())
        opened.use_clicks(True)
    with fs.VisualIndex.open(tmp_path / "opened", read_only=True) as reader:
        assert reader.search_vectors(vectors(3, seed=1)).ids.tolist() == found != before
        with pytest.raises(errors.StorageError, match="read_only=True"):
            reader.use_clicks(False)
        assert reader.search_vectors(vectors(3, seed=1)).ids.tolist() == found
        reader.search(like=[0])  # learns how embeddings lie, which is no change of the folder


def test_a_closed_index_keeps_nothing_new(tmp_path):
    index = fs.VisualIndex.open(tmp_path, dim=4)
    index.add_vectors(vectors(30))
    index._keep(metric())
    index.close()
    with pytest.raises(errors.StorageError, match="closed"):
        index.use_clicks(True)


def test_how_embeddings_lie_is_looked_at_again_after_growth():
    index = fs.VisualIndex(dim=4)
    index.add_vectors(vectors(40))
    first = index._whitening()
    index.add_vectors(vectors(10, seed=1))
    assert index._whitening() is first
    index.add_vectors(vectors(30, seed=2))
    assert index._whitening().items == 80


def test_a_sample_is_the_same_each_time():
    index = fs.VisualIndex(dim=4)
    index.add_vectors(vectors(40))
    assert np.array_equal(index._sample(7), index._sample(7))
    assert index._sample(7).shape == (7, 4)
    assert np.allclose(np.linalg.norm(index._sample(), axis=1), 1, atol=1e-6)


def test_a_session_is_of_the_index(tmp_path):
    index = fs.VisualIndex(dim=4)
    index.add_vectors(vectors(40))
    assert index.session(id=3).next(2).ids.tolist() == index.search(id=3, k=2).ids.tolist()

"""What an index learns beside its items is kept with them."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index import learned
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


def test_a_reader_knows_what_the_writer_learns(tmp_path):
    table = fs.datasets.make_catalogue(40, seed=0)
    titles = [
        f"{colour} {kind}" for colour, kind in zip(table["baseColour"], table["articleType"], strict=True)
    ]
    with fs.VisualIndex.open(tmp_path / "c", "fashion", progress=False) as index:
        index.add(table.images, metadata={"title": titles})
        with fs.VisualIndex.open(tmp_path / "c", read_only=True, progress=False) as reader:
            before = reader.search(text="red shirt", k=3)
            index.learn_text("title")
            reader.refresh()
            assert learned.same(reader._learned, index._learned)
            after = reader.search(text="red shirt", k=3)
            expected = index.search(text="red shirt", k=3)
            np.testing.assert_allclose(after.similarities, expected.similarities, rtol=1e-5)
            assert not np.allclose(after.similarities, before.similarities)
            index._keep(ClickMetric(np.eye(2, index.dim, dtype=np.float32), np.ones(2, np.float32)))
            index.use_clicks(True)
            assert reader._clicks is None
            reader._looked = float("-inf")  # as half a second later
            reader.search(id=0)
            assert reader._clicks.in_use
            index._keep(index._whitening())
            for path in (tmp_path / "c" / "learned").rglob("learned-whitening.json"):
                path.write_text("{}")
            reader._looked = float("-inf")
            with pytest.warns(errors.DataWarning, match="searches go on with what was known"):
                reader.search(id=0)
            reader._looked = float("-inf")
            reader.search(id=0)  # it is told once
            index._keep(index._whitening())
            reader.refresh()
            assert "whitening" in reader._learned
        assert learned.same(reader._learned, index._learned)
        reader.search(id=0)


def test_what_was_learned_goes_along_with_a_copy(tmp_path):
    table = fs.datasets.make_catalogue(40, seed=0)
    index = fs.VisualIndex("fashion", progress=False)
    index.add(table.images[:30], ids=[f"p{n}" for n in range(30)])
    index._keep(ClickMetric(np.eye(2, index.dim, dtype=np.float32), np.ones(2, np.float32), in_use=True))
    index._keep(index._whitening())
    with fs.VisualIndex.open(tmp_path / "c", "fashion", progress=False) as other:
        index.copy_to(other)
        assert learned.same(other._learned, index._learned)
        index.use_clicks(False)
        assert index.copy_to(other) == 0
        assert not other._clicks.in_use
    with fs.VisualIndex.open(tmp_path / "c", progress=False) as other:
        assert learned.same(other._learned, index._learned)
        other.add(table.images[30:], ids=[f"q{n}" for n in range(10)])
        other._forget()
        index.copy_to(other)
        assert set(other._learned) == {"clicks"}, "how embeddings lie is known of all its own items alone"
        other.use_clicks(True)
        index.copy_to(other)
        assert other._clicks.in_use, "what it has learned itself stays"
    unlike = fs.VisualIndex(dim=index.dim, metric="euclidean", progress=False)
    index.copy_to(unlike)
    assert not unlike._learned

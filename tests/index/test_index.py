"""What holds of an index whatever encodes its photos and whichever engine holds them."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index.engines import hnsw, local


@pytest.fixture(scope="module")
def backbone():
    return fs.create_backbone("cnn", weights=None, image_size=32, random_state=0, progress=False)


@pytest.fixture(scope="module")
def table():
    return fs.datasets.make_catalogue(12, seed=2, size=(48, 64))


def test_an_interrupted_graph_is_not_searched(monkeypatch):
    monkeypatch.setattr(local, "_EXACT_BYTES", 0)
    vectors = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    index = fs.VisualIndex(dim=8)
    index.add_vectors(vectors[:30])
    with monkeypatch.context() as context:
        context.setattr(hnsw.HnswGraph, "verify", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            index.add_vectors(vectors[30:])
    assert not index.has_graph
    assert (index.search_vectors(vectors[: len(index)], k=1).ids[:, 0] == np.arange(len(index))).all()
    index.remove(3)
    assert index.has_graph
    assert index.search_vectors(vectors[4], k=1).ids[0, 0] == 4


class Reversed:
    """A wrapper that holds a backbone and embeds in its own way."""

    def __init__(self, backbone):
        self.backbone_ = backbone
        self.dim = backbone.dim

    def embed(self, images):
        return self.backbone_.embed(images)[:, ::-1]


class Doubled(fs.Backbone):
    """A subclass with an embed of its own."""

    def embed(self, images, *, cache=None):
        return super().embed(images, cache=cache) ** 2 + 1


def test_an_encoders_own_embed_is_used_for_adding_too(backbone, table):
    for encoder in (Reversed(backbone), Doubled(backbone.module, backbone.preprocess)):
        index = fs.VisualIndex(encoder)
        index.add(table.images)
        np.testing.assert_allclose(
            index.get(3).vector, encoder.embed([table.images[3]])[0], rtol=1e-4, atol=1e-4
        )


class Labelled:
    """A column that is indexed by labels and iterated by position, as pandas' are."""

    def __init__(self, values):
        self.values = dict(zip(range(len(values) - 1, -1, -1), values, strict=True))

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter(self.values.values())

    def __getitem__(self, label):
        return self.values[label]


def test_columns_are_read_by_position():
    index = fs.VisualIndex(dim=2)
    index.add_vectors([[1, 0], [0, 1]], metadata={"colour": Labelled(["red", "blue"])})
    assert index.get(0).metadata == {"colour": "red"}


def test_what_can_be_refused_is_refused_before_embedding(backbone, table, monkeypatch):
    index = fs.VisualIndex(backbone)
    monkeypatch.setattr(fs.Backbone, "embed_batches", lambda *_, **__: pytest.fail("embedded first"))
    with pytest.raises(errors.InputError, match="occurs twice"):
        index.add(table.images[:2], ids=["a", "a"])
    with pytest.raises(errors.InputError, match="there are 2 items"):
        index.add(table.images[:2], metadata=[{}])


def test_ids_may_come_from_a_generator(backbone, table):
    index = fs.VisualIndex(backbone)
    assert index.add(table.images[:3], ids=(name for name in "abc")).ids == ("a", "b", "c")


def test_an_index_is_saved_whatever_its_encoder_takes(tmp_path):
    class PathsOnly:
        dim = 2

        def embed(self, images):
            return np.array([[len(path), 1] for path in images if isinstance(path, str)], dtype=np.float32)

    index = fs.VisualIndex(PathsOnly())
    index.add(["a.jpg", "bcd.jpg"])
    with pytest.warns(errors.DataWarning, match="won't notice another encoder"):
        index.save(tmp_path / "saved")
    with pytest.warns(errors.DataWarning):
        again = fs.VisualIndex.load(tmp_path / "saved", encoder=PathsOnly())
    assert again.search("bcd.jpg", k=1).ids[0, 0] == 1


def test_odd_ids_and_k_are_refused():
    index = fs.VisualIndex(dim=2)
    index.add_vectors([[1, 0]], ids=[97])
    for ids in (b"a", None, 5.0):
        with pytest.raises(errors.InputError):
            index.remove(ids)
    with pytest.raises(errors.InputError, match="k=1000000000000"):
        index.search_vectors([1, 0], k=10**12)
    index.remove(97)
    with pytest.raises(errors.InputError, match="ids are of type int"):
        index.add_vectors([[1, 0]], ids=["a"])


def test_many_updates_leave_nothing_behind(tmp_path):
    index = fs.VisualIndex(dim=2)
    index.add_vectors([[1, 0], [0, 1]], metadata=[{"price": -1}, {"secret": "gone soon"}])
    for price in range(5000):
        index.update(0, {"price": price})
    assert index.get(0).metadata == {"price": 4999}
    assert len(index._engine._state.store.columns["price"].values) < 2000
    assert index.search_vectors([1, 0], where={"price": 4999}).counts[0] == 1
    index.remove(1)
    index.save(tmp_path / "saved")
    assert "gone soon" not in next((tmp_path / "saved").glob("generation-*/items.json")).read_text()
    assert fs.VisualIndex.load(tmp_path / "saved").get(0).metadata == {"price": 4999}


def test_exact_search_after_a_removal(monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(500, 16)).astype(np.float32)
    index = fs.VisualIndex(dim=16, engine="exact")
    index.add_vectors(vectors)
    index.remove([7, 499])
    found = index.search_vectors(vectors, k=3).ids
    assert 7 not in found
    assert 499 not in found
    kept = np.setdiff1d(np.arange(500), [7, 499])
    assert (found[kept, 0] == kept).all()


def test_an_unfitted_classifier_says_so():
    with pytest.raises(errors.NotFittedError, match="call fit before indexing"):
        fs.VisualIndex(fs.Classifier())

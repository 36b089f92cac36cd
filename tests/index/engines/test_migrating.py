"""An index that is being given another encoder, on every engine."""

import threading

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors

ENGINES = ("hnsw", "faiss", "exact", "opened", "qdrant", "pgvector")
COUNT = 120


class Basis:
    """A small picture's pixels in a basis of its own; `gate` holds it back, `limit` lets it fail."""

    def __init__(self, dim, seed, gate=None, limit=None):
        self.dim, self.gate, self.limit, self.embedded = dim, gate, limit, 0
        self._basis = np.random.default_rng(seed).normal(size=(12, dim)).astype(np.float32)

    def embed(self, images):
        from fashionsearch.images import iterate, read_image

        photos = [read_image(image) for image in iterate(images)]
        if len(photos) > 1:
            if self.gate is not None:
                assert self.gate.wait(60)
            self.embedded += len(photos)
            if self.limit is not None and self.embedded > self.limit:
                raise RuntimeError("the network broke")
        pixels = np.stack([photo.reshape(-1)[:12] for photo in photos])
        return (pixels / np.float32(255) - np.float32(0.5)) @ self._basis


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(COUNT + 10):
        Image.fromarray(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return [folder / f"{number}.png" for number in range(COUNT + 10)]


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture
def index(engine, place, tmp_path, photos):
    """Return an index of photos that are embedded by an old encoder."""
    encoder = Basis(16, 0)
    if engine == "opened":
        made = fs.VisualIndex.open(tmp_path / "opened", encoder, progress=False)
    else:
        made = fs.VisualIndex(encoder, engine=engine, progress=False, **place(engine))
    kinds = ["even" if number % 2 == 0 else "odd" for number in range(COUNT)]
    made.add(photos[:COUNT], ids=[f"p{number}" for number in range(COUNT)], metadata={"kind": kinds})
    yield made
    made.close()


def exact(encoder, photos, asked, k):
    """Return the positions of the k nearest by an encoder."""
    held, queries = encoder.embed(photos), encoder.embed(asked)
    held, queries = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (held, queries))
    return np.argsort(-(queries @ held.T), axis=1, kind="stable")[:, :k]


def test_it_answers_at_once_and_in_the_end_as_if_it_had_been_made_with_the_new_encoder(index, photos):
    gate = threading.Event()
    encoder = Basis(10, 1)
    before = index.search(photos[:5], k=3)
    gate.set()
    encoder.gate = gate
    migration = index.migrate(encoder, pairs=40)
    migration.wait()
    assert (migration.state, migration.done, migration.missing) == ("switched", COUNT, {})
    assert (index.dim, index.encoder) == (10, encoder)
    truth = exact(encoder, photos[:COUNT], photos[:5], 3)
    found = index.search(photos[:5], k=3)
    assert found.ids.tolist() == [[f"p{place}" for place in row] for row in truth]
    assert found.metadata[0, 0] == {"kind": "even"}
    assert migration.rollback() == ()
    again = index.search(photos[:5], k=3)
    assert again.ids.tolist() == before.ids.tolist()
    np.testing.assert_allclose(again.similarities, before.similarities, atol=1e-6)
    assert (index.dim, index.migration, migration.state) == (16, None, "rolled back")


def test_half_way_items_answer_from_both(index, photos):
    encoder = Basis(10, 1)
    migration = index.migrate(encoder, pairs=40)
    migration.wait()
    composite = index._engine
    composite._take_away([f"p{number}" for number in range(0, COUNT, 2)])
    assert (migration.done, migration.state) == (COUNT // 2, "stopped")
    found = index.search(photos[:8], k=1)
    assert found.ids[:, 0].tolist() == [f"p{number}" for number in range(8)], "each finds itself"
    assert found.similarities[1::2, 0] == pytest.approx(1, abs=1e-5)
    assert index.search(photos[:2], k=COUNT).ids.shape == (2, COUNT)
    assert all(len(set(row)) == COUNT for row in index.search(photos[:2], k=COUNT).ids)
    for kind, count in (("even", 60), ("odd", 60)):
        only = index.search(photos[:3], k=100, where={"kind": kind})
        assert only.counts.tolist() == [count] * 3
        assert {row["kind"] for row in only.metadata[0, :count]} == {kind}
    pages = [index.search(photos[:1], k=30, offset=start).ids[0].tolist() for start in range(0, COUNT, 30)]
    assert len({item for page in pages for item in page}) == COUNT
    assert index.facets("kind") == {"even": 60, "odd": 60}
    with pytest.raises(errors.InputError, match="60 items have no new vector"):
        migration.finish()
    migration.start()
    assert migration.wait()
    assert encoder.embedded >= COUNT + 60


def test_changes_meanwhile_are_in_both(index, photos):
    migration = index.migrate(Basis(10, 1), pairs=40)
    migration.wait()
    index._engine._take_away(["p6"])
    index.add(photos[COUNT : COUNT + 2], ids=["new", "p3"], metadata={"kind": ["new", "other"]})
    index.update("p4", {"kind": "updated", "price": 3.5})
    index.update("p6", {"kind": "updated"})
    index.remove(["p5"])
    assert index.search(photos[COUNT], k=1).ids[0, 0] == "new"
    assert index.search(photos[COUNT + 1], k=1).ids[0, 0] == "p3"
    assert index.search(photos[4], k=1, where={"price": {"gt": 3}}).ids[0, 0] == "p4"
    assert set(index.search(photos[4], k=2, where={"kind": "updated"}).ids[0]) == {"p4", "p6"}
    assert index.get("p3").metadata == {"kind": "other"}
    assert len(index) == COUNT
    assert "p5" not in index
    migration.start()
    assert migration.wait()
    assert migration.rollback() == ()
    old = exact(Basis(16, 0), photos[: COUNT + 2], photos[COUNT : COUNT + 2], 1)
    assert old[:, 0].tolist() == [COUNT, COUNT + 1]
    found = index.search(photos[COUNT : COUNT + 2], k=1)
    assert found.ids[:, 0].tolist() == ["new", "p3"]
    assert found.similarities[:, 0] == pytest.approx(1, abs=1e-5), "embedded by the old encoder"
    assert index.get("p4").metadata == {"kind": "updated", "price": 3.5}
    assert "p5" not in index


def test_finished_there_is_no_way_back(index, photos, engine):
    encoder = Basis(10, 1)
    migration = index.migrate(encoder, pairs=40)
    migration.wait()
    migration.finish()
    with pytest.raises(errors.InputError, match="this migration is finished"):
        migration.rollback()
    truth = exact(encoder, photos[:COUNT], photos[:5], 3)
    assert index.search(photos[:5], k=3).ids.tolist() == [[f"p{place}" for place in row] for row in truth]
    index.add(photos[COUNT:], ids=[f"n{number}" for number in range(10)])
    assert index.search(photos[COUNT], k=1).ids[0, 0] == "n0"
    third = index.migrate(Basis(7, 2), pairs=40)
    third.wait()
    assert index.search(photos[7], k=1).ids[0, 0] == "p7"
    third.finish()
    assert (index.dim, len(index)) == (7, COUNT + 10)


def test_an_encoder_that_fails_half_way_is_told_and_goes_on(index, photos):
    encoder = Basis(10, 1, limit=100)
    migration = index.migrate(encoder, pairs=40)
    with pytest.raises(errors.StorageError, match="could not all be embedded again: RuntimeError"):
        migration.wait()
    assert (migration.state, migration.done) == ("stopped", 50)
    assert [index.search(photo, k=1).ids[0, 0] for photo in photos[:3]] == ["p0", "p1", "p2"]
    encoder.limit = None
    assert index.migrate(encoder) is migration
    assert migration.wait()


def test_ids_that_are_numbers_go_on(engine, place, tmp_path, photos):
    if engine == "opened":
        made = fs.VisualIndex.open(tmp_path / "opened", Basis(16, 0), progress=False)
    else:
        made = fs.VisualIndex(Basis(16, 0), engine=engine, progress=False, **place(engine))
    made.add(photos[:60])
    made.remove([59])
    migration = made.migrate(Basis(10, 1), pairs=20)
    migration.wait()
    migration.finish()
    assert made.add(photos[60:62]).ids == (60, 61)
    made.close()


@pytest.mark.parametrize("engine", ["qdrant", "pgvector"])
def test_what_a_collection_holds_is_taken_for_new_vectors_only_where_this_migration_put_it_there(
    engine, place, photos
):
    options = place(engine)

    def opened(encoder, collection):
        where = {**options, "collection": f"{options['collection']}__{collection}"}
        return fs.VisualIndex(encoder, engine=engine, progress=False, **where)

    collections = []
    for name, first in (("men", 0), ("women", 60)):
        index = opened(Basis(16, 0), name)
        index.add(photos[first : first + 60], ids=[f"{name}{number}" for number in range(60)])
        migration = index.migrate(Basis(10, 1), pairs=20)
        assert migration.wait()
        collections.append(migration.collection.removeprefix(f"{options['collection']}__"))
        migration.finish()
        index.close()
    assert len(set(collections)) == 2
    index = opened(Basis(16, 0), "men")
    with pytest.raises(errors.InputError, match="holds 60 items that are of no migration of this index"):
        index.migrate(Basis(10, 1), pairs=20)
    index.close()
    for name, collection in zip(("men", "women"), collections, strict=True):
        index = opened(Basis(10, 1), collection)
        assert set(index) == {f"{name}{number}" for number in range(60)}
        index.close()


@pytest.mark.parametrize("engine", ["qdrant", "pgvector"])
def test_a_migration_that_was_cut_off_goes_on_in_its_collection(engine, place, photos):
    index = fs.VisualIndex(Basis(16, 0), engine=engine, progress=False, **place(engine))
    index.add(photos[:COUNT])
    with pytest.raises(errors.StorageError, match="could not all be embedded again"):
        index.migrate(Basis(10, 1, limit=60), pairs=40).wait()
    index.close()
    index = fs.VisualIndex(Basis(16, 0), engine=engine, progress=False, **place(engine))
    encoder = Basis(10, 1)
    assert index.migrate(encoder, pairs=40).wait()
    assert encoder.embedded == COUNT - 50
    assert index.migration.rollback() == ()
    assert index.migrate(Basis(10, 1), pairs=40).wait(), "rolled back, the collection is empty"
    index.close()

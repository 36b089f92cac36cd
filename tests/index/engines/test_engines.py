"""What every engine must do, whatever it is made of: see `base.Engine`."""

from dataclasses import replace

import numpy as np
import pytest

from fashionsearch import errors, storage
from fashionsearch.index import engines, filters
from fashionsearch.index.engines.base import Server, Settings
from fashionsearch.index.rows import Rows

VECTORS = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
SETTINGS = Settings(
    dim=8, metric="cosine", m=8, ef_construction=40, ef_search=30, random_state=0, progress=False
)


def rows(ids, vectors, **columns):
    metadata = [{field: values[i] for field, values in columns.items()} for i in range(len(ids))]
    return Rows(list(ids), vectors, metadata, [f"{item}.jpg" for item in ids])


@pytest.fixture(params=sorted(engines.ENGINES))
def name(request):
    return request.param


@pytest.fixture
def make(name, place):
    """Return a function that makes an engine; of one that keeps its rows on a server each has the same."""
    made = []

    def engine():
        for other in made:
            other.close()
        at = place(name)
        server = Server(api_key=None, timeout=10.0, **at) if at else None
        made.append(engines.ENGINES[name](replace(SETTINGS, server=server)))
        return made[-1]

    yield engine
    for other in made:
        other.close()


@pytest.fixture
def engine(make):
    engine = make()
    with engine.changing:
        engine.upsert(rows(range(30), VECTORS, n=list(range(30)), odd=[n % 2 == 1 for n in range(30)]))
    engine.settle(60)
    return engine


def test_it_knows_its_ids(engine):
    assert len(engine) == 30
    assert list(engine) == list(range(30))
    assert 3 in engine
    assert 30 not in engine
    assert "3" not in engine
    assert (engine.id_kind, engine.next_id) == (int, 30)


def test_a_new_one_is_empty(make):
    engine = make()
    assert (len(engine), list(engine), engine.id_kind, engine.next_id) == (0, [], None, 0)
    assert engine.search(VECTORS[:2], 5, None, exact=False).ids.shape == (2, 0)


def test_it_gives_back_what_it_got(engine):
    fetched = engine.fetch([7, 2])
    assert list(fetched.ids) == [7, 2]
    np.testing.assert_allclose(fetched.vectors, VECTORS[[7, 2]], rtol=1e-5)
    assert list(fetched.metadata) == [{"n": 7, "odd": True}, {"n": 2, "odd": False}]
    assert list(fetched.sources) == ["7.jpg", "2.jpg"]
    with pytest.raises(errors.UnknownIdError, match="no item has the id 99"):
        engine.fetch([1, 99])


def test_an_upsert_replaces_the_whole_row(engine):
    engine.upsert(rows([4, 50], VECTORS[[9, 10]] + 1, other=["x", "y"]))
    assert len(engine) == 31
    assert list(engine) == [*range(30), 50]
    fetched = engine.fetch([4])
    np.testing.assert_allclose(fetched.vectors, VECTORS[[9]] + 1, rtol=1e-5)
    assert list(fetched.metadata) == [{"other": "x"}]
    assert engine.next_id == 51
    assert engine.search(VECTORS[[9]] + 1, 1, None, exact=False).ids[0, 0] == 4


def test_what_is_deleted_is_not_found(engine):
    engine.delete([29, 3, 5])
    assert len(engine) == 27
    assert 3 not in engine
    for exact in (True, False):
        assert not {29, 3, 5} & set(engine.search(VECTORS, 27, None, exact=exact).ids.ravel().tolist())
    assert engine.next_id == 30, "no number is given twice"
    engine.delete(list(engine))
    assert (len(engine), engine.id_kind) == (0, int)


def test_an_update_leaves_other_fields(engine):
    engine.update(6, {"odd": None, "new": "x"})
    assert list(engine.fetch([6]).metadata) == [{"n": 6, "odd": None, "new": "x"}]
    assert engine.search(VECTORS[:1], 5, filters.parse({"new": "x"}), exact=False).ids[0].tolist() == [
        6,
        *[None] * 4,
    ]


@pytest.mark.parametrize("exact", [True, False])
def test_it_finds_the_nearest_that_meet_the_condition(engine, exact):
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    truth = unit @ unit.T
    for where, kept in ((None, range(30)), ({"odd": True, "n": {"lt": 20}}, range(1, 20, 2))):
        condition = None if where is None else filters.parse(where)
        found = engine.search(VECTORS, 5, condition, exact=exact)
        kept = np.array(kept)
        order = kept[np.argsort(-truth[:, kept], axis=1)[:, :5]]
        np.testing.assert_array_equal(found.ids.astype(int), order)
        np.testing.assert_allclose(found.similarities, np.take_along_axis(truth, order, 1), atol=1e-5)
        assert found.metadata[0, 0] == {"n": int(order[0, 0]), "odd": bool(order[0, 0] % 2)}
        assert found.sources[0, 0] == f"{order[0, 0]}.jpg"


def test_an_answer_is_as_wide_as_there_are_rows(engine):
    found = engine.search(VECTORS[:2], 1_000_000, filters.parse({"n": {"gte": 25}}), exact=False)
    assert (
        found.ids.shape == found.similarities.shape == found.metadata.shape == found.sources.shape == (2, 30)
    )
    assert found.counts.tolist() == [5, 5]
    assert found.ids[0, 5:].tolist() == found.metadata[0, 5:].tolist() == [None] * 25
    assert np.isnan(found.similarities[:, 5:]).all()


def test_a_field_that_no_row_has_is_named(engine):
    with pytest.raises(errors.InputError, match="'colour', which no item has; the fields are n, odd"):
        engine.search(VECTORS[:1], 3, filters.parse({"colour": "red"}), exact=False)


def test_it_tells_a_fields_commonest_values(engine):
    engine.update(0, {"odd": True})
    assert engine.counts("odd", None) == [(True, 16), (False, 14)]


def test_what_is_written_is_read(engine, make, tmp_path):
    engine.delete([29])
    files, notes = engine.writers()
    storage.save(tmp_path / "saved", "index", {**files, "index.json": storage.write_json(notes)})
    saved = storage.open_saved(tmp_path / "saved", "index")
    for rebuild in (False, True):
        ids, one = list(engine), engine.search(VECTORS, 5, None, exact=True)
        again = make()
        again.read(saved, saved.json("index.json"), rebuild=rebuild)
        assert list(again) == ids
        assert (again.id_kind, again.next_id) == (int, 30)
        other = again.search(VECTORS, 5, None, exact=True)
        again.close()
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_allclose(one.similarities, other.similarities, atol=1e-6)

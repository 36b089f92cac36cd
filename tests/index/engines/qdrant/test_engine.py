"""What is Qdrant's own: requests in parts, a server that refuses or hangs up, keys that stay away, collections of others."""

import time

import numpy as np
import pytest
from qdrant_client import models

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index.engines.qdrant import engine as ours

DIM = 4


def vectors(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


@pytest.fixture
def make(made, double, collection):
    usual = {"engine": "qdrant", "url": double.url, "collection": collection, "dim": DIM, "timeout": 2.0}
    return lambda **options: made(**{**usual, **options})


def test_a_server_is_asked_in_its_own_words(make, double):
    index = make()
    rows = [
        {"colour": ["red", "Blue dress"][n % 2], "price": n, "when": f"2012-0{1 + n % 9}-01"}
        for n in range(40)
    ]
    index.add_vectors(vectors(40), ids=[f"p{n}" for n in range(40)], metadata=rows)
    local = fs.VisualIndex(dim=DIM)
    local.add_vectors(vectors(40), ids=[f"p{n}" for n in range(40)], metadata=rows)
    for where in (
        None,
        {"colour": "red"},
        {"colour": {"contains": "dress"}, "price": {"gt": 5, "lte": 20}},
        {"when": {"gte": "2012-03-01"}},
        {"not": {"price": [1, 2, 3]}},
        {"price": {"exists": True}},
    ):
        found, truth = (each.search_vectors(vectors(7, seed=2), k=5, where=where) for each in (index, local))
        assert found.ids.tolist() == truth.ids.tolist(), where
    assert index.facets("colour") == local.facets("colour")
    index.update("p3", {"price": 99})
    index.remove(["p0", "p1"])
    assert list(index) == list(local)[2:]
    assert index.get("p3").metadata["price"] == 99
    assert index.health().items == 38
    again = make()
    assert list(again) == list(index)


def test_fields_that_are_filtered_get_an_index_and_the_others_none(make, double):
    index = make()
    index.add_vectors(vectors(3), metadata=[{"colour": "red", "title": "a", "price": 1}] * 3)
    assert double.indexes == {}
    index.search_vectors(vectors(1), where={"colour": "red"})
    index.search_vectors(vectors(1), where={"colour": "red"})
    assert {name.split(".")[1] for name in double.indexes} == {"colour"}
    assert len([path for _, path, _ in double.asked if path.endswith("/index")]) == 3


def test_a_large_call_is_several_requests_and_half_of_it_is_taken_back(make, double, monkeypatch):
    monkeypatch.setattr(ours, "_AT_ONCE", 10)
    index = make(timeout=1.0)
    index.add_vectors(vectors(3), ids=["a", "b", "c"])
    written = []

    def at_the_third(method, path):
        if method == "PUT" and path.endswith("/points"):
            written.append(path)
            return 500 if len(written) == 3 else None
        return None

    double.faults.append(at_the_third)
    with pytest.raises(errors.StorageError, match="nothing was changed"):
        index.add_vectors(vectors(35), ids=[f"p{n}" for n in range(35)])
    double.faults.clear()
    assert list(index) == ["a", "b", "c"]

    def at_the_second(method, path):
        if method == "PUT" and path.endswith("/points"):
            written.append(path)
            return 500 if len(written) == 5 else None
        return None

    double.faults.append(at_the_second)
    with pytest.raises(errors.StorageError, match="some of the 20 rows may have been written"):
        index.add_vectors(vectors(20), ids=["a", *[f"p{n}" for n in range(19)]])
    double.faults.clear()
    assert list(index) == ["a", "b", "c"]
    index.add_vectors(vectors(35), ids=[f"p{n}" for n in range(35)])
    assert len(index) == 38


@pytest.mark.parametrize("fault", [503, 429, "too many", "hang up"])
def test_a_server_that_is_away_for_a_moment_is_asked_again(make, double, fault):
    index = make(timeout=5.0)
    double.faults += [fault, fault]
    index.add_vectors(vectors(2), ids=["a", "b"])
    double.faults += [fault]
    assert index.search_vectors(vectors(2), k=1).ids.tolist() == [["a"], ["b"]]
    assert double.faults == []


def test_a_server_that_stays_away_is_told_in_time(make, double):
    index = make(timeout=1.0)
    index.add_vectors(vectors(2))
    double.faults += ["hang up"] * 100
    began = time.monotonic()
    with pytest.raises(errors.StorageError, match=r"could not be asked within 1 seconds"):
        index.search_vectors(vectors(1))
    assert time.monotonic() - began < 5
    double.faults.clear()
    assert len(index) == 2


def test_a_server_that_does_not_answer_is_told_in_time(make, double):
    index = make(timeout=1.0)
    double.faults += ["4"] * 5
    began = time.monotonic()
    with pytest.raises(errors.StorageError, match="could not be asked"):
        len(index)
    assert time.monotonic() - began < 6
    double.faults.clear()


def test_a_server_that_is_not_there_is_told_in_time():
    began = time.monotonic()
    with pytest.raises(errors.StorageError, match=r"127\.0\.0\.1:9"):
        fs.VisualIndex(
            dim=2, engine="qdrant", url="http://me:hush@127.0.0.1:9", collection="items", timeout=1
        )
    assert time.monotonic() - began < 5


def test_a_key_is_sent_and_never_kept(make, double, tmp_path):
    index = make(api_key="hush")
    index.add_vectors(vectors(3))
    assert all(headers.get("api-key") == "hush" for _, _, headers in double.asked)
    index.save(tmp_path / "saved")
    for path in (tmp_path / "saved").rglob("*"):
        if path.is_file():
            assert b"hush" not in path.read_bytes()
    assert "hush" not in repr(index._engine.settings)
    double.asked.clear()
    loaded = fs.VisualIndex.load(tmp_path / "saved", api_key="other")
    assert loaded.search_vectors(vectors(1), k=1).ids.tolist() == [[0]]
    assert all(headers.get("api-key") == "other" for _, _, headers in double.asked)
    loaded.close()
    double.faults += [403]
    with pytest.raises(errors.StorageError, match="refuses the key; give api_key="):
        fs.VisualIndex.load(tmp_path / "saved")


def test_a_collection_made_beforehand_is_taken_if_it_is_empty_and_fits(make, double, collection):
    config = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
    double.local.create_collection(collection, vectors_config=config)
    make().add_vectors(vectors(2))
    double.local.create_collection("others", vectors_config=config)
    double.local.upsert("others", [models.PointStruct(id=1, vector=[1.0] * DIM)])
    with pytest.raises(errors.InputError, match="not made by this library"):
        make(collection="others")
    for options in ({"dim": DIM + 1}, {"metric": "euclidean"}):
        with pytest.raises(errors.InputError, match="another kind"):
            make(**options)


def test_a_newer_format_is_refused(make, double, collection):
    make()
    double.local.update_collection(collection, metadata={"format": 99})
    with pytest.raises(errors.StorageError, match="newer fashionsearch"):
        make()


def test_a_field_of_too_many_values_is_told(make, monkeypatch):
    monkeypatch.setattr(ours, "_VALUES", 10)
    index = make()
    index.add_vectors(vectors(30), metadata=[{"title": f"title {n}", "n": n} for n in range(30)])
    with pytest.raises(errors.InputError, match="more than 10 values"):
        index.search_vectors(vectors(1), where={"title": {"gt": "title 5"}})
    assert index.search_vectors(vectors(1), where={"n": {"gt": 25}}).counts.tolist() == [4]


def test_in_memory_needs_no_server():
    index = fs.VisualIndex(dim=DIM, engine="qdrant", url=":memory:", collection="items")
    index.add_vectors(vectors(2), ids=["a", "b"])
    assert index.search_vectors(vectors(2), k=1).ids.tolist() == [["a"], ["b"]]
    index.close()
    assert len(index) == 2


def test_a_request_that_was_done_and_not_answered_is_taken_back(make, double):
    index = make(timeout=1.0)
    index.add_vectors(vectors(1), ids=[0])

    act = double.act

    def act_and_hang_up(method, path, body):
        result = act(method, path, body)
        if method == "PUT" and path.endswith("/points"):
            double.faults += ["hang up"] * 3
            raise ConnectionError("the answer is lost")
        return result

    double.act = act_and_hang_up
    with pytest.raises(errors.StorageError):
        index.add_vectors(vectors(3))
    double.act = act
    double.faults.clear()
    assert len(index) in (1, 4)  # taken back if the server could be reached again in time
    assert index.add_vectors(vectors(1)).ids == (4,)


def test_what_finds_nothing_warns_whatever_the_field_holds(make, monkeypatch):
    monkeypatch.setattr(ours, "_VALUES", 10)
    index = make()
    index.add_vectors(vectors(30), metadata=[{"sku": f"sku {n}"} for n in range(30)])
    with pytest.warns(errors.DataWarning, match="'sku' was to be 'none', and holds most often"):
        assert index.search_vectors(vectors(1), where={"sku": "none"}).counts.tolist() == [0]


def test_large_numbers_are_found_without_looking_through_all_values(make, monkeypatch):
    monkeypatch.setattr(ours, "_VALUES", 10)
    index = make()
    large = [2**60 + n for n in range(30)]
    index.add_vectors(vectors(30), metadata=[{"n": number, "text": str(number)} for number in large])
    for where in ({"n": large[7]}, {"n": [large[7], 5]}, {"text": large[7]}, {"n": str(large[7])}):
        assert index.search_vectors(vectors(1), k=3, where=where).ids.tolist() == [[7, None, None]], where


def test_two_processes_set_fields_of_one_item(make):
    one, other = make(), make()
    one.add_vectors(vectors(1), ids=["a"], metadata=[{"price": 1, "stock": 1}])
    fetch, told = one._engine.fetch, []

    def fetch_and_be_late(ids):
        rows = fetch(ids)
        if not told:
            told.append(other.update("a", {"stock": 5}))
        return rows

    one._engine.fetch = fetch_and_be_late
    one.update("a", {"price": 2})
    assert other.get("a").metadata == {"price": 2, "stock": 5}


def test_short_vectors_are_found_by_their_direction(make):
    index = make()
    index.add_vectors(1e-6 * vectors(20), ids=range(20))
    assert index.search_vectors(1e-7 * vectors(20), k=1).ids[:, 0].tolist() == list(range(20))
    np.testing.assert_allclose(index.get(3).vector, 1e-6 * vectors(20)[3], rtol=1e-4)


def test_what_was_in_memory_is_not_saved(tmp_path):
    index = fs.VisualIndex(dim=DIM, engine="qdrant", url=":memory:", collection="items")
    with pytest.raises(errors.InputError, match="gone with this process"):
        index.save(tmp_path / "saved")


def test_a_collection_that_is_gone_is_no_empty_index(make, double, collection, tmp_path):
    index = make()
    index.add_vectors(vectors(2))
    index.save(tmp_path / "saved")
    double.local.delete_collection(collection)
    with pytest.raises(errors.StorageError, match="nothing of that name any more"):
        fs.VisualIndex.load(tmp_path / "saved")


@pytest.mark.parametrize(
    "url", ["http://me:hush@h:70000", "me:hush@host:6333", "http://[", "ftp://me:hush@host", "hush"]
)
def test_an_address_that_is_none_is_refused_without_being_repeated(url):
    with pytest.raises(errors.InputError, match="no address of a Qdrant server") as caught:
        fs.VisualIndex(dim=2, engine="qdrant", url=url, collection="items")
    assert "hush" not in str(caught.value)


def test_an_encoder_is_another_only_for_items_of_another(make):
    class Own:
        dim = DIM

        def __init__(self, shift):
            self.shift = shift

        def embed(self, images):
            return np.stack([np.arange(DIM) * self.shift % 7 + 1.0 for _ in images]).astype(np.float32)

    make(encoder=Own(1), dim=None)
    second = make(encoder=Own(2), dim=None)
    second.add_vectors(vectors(1))
    with pytest.raises(errors.EncoderMismatchError):
        make(encoder=Own(1), dim=None)

"""`VisualIndex`: what it finds, what it refuses, and that it never forgets."""

import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest
from matplotlib.figure import Figure

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.images import read_image
from fashionsearch.index.engines import hnsw, local


def clustered(n: int, dim: int = 32, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, dim))
    return (centres[rng.integers(0, 20, n)] + 0.5 * rng.normal(size=(n, dim))).astype(np.float32)


@pytest.fixture
def small_graphs(monkeypatch):
    """Let the graph take over at a size that tests can afford."""
    monkeypatch.setattr(local, "_EXACT_BYTES", 4 * 32 * 100)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_exact_search_equals_brute_force(metric):
    vectors, queries = clustered(300), clustered(7, seed=1)
    index = fs.VisualIndex(dim=32, metric=metric, engine="exact")
    index.add_vectors(vectors)
    matches = index.search_vectors(queries, k=10)
    if metric == "cosine":
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        truth = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ unit.T
    else:
        truth = -np.linalg.norm(queries[:, None] - vectors[None], axis=2)
    order = np.argsort(-truth, axis=1)[:, :10]
    np.testing.assert_array_equal(matches.ids.astype(int), order)
    np.testing.assert_allclose(
        matches.similarities, np.take_along_axis(truth, order, 1), rtol=1e-4, atol=1e-5
    )
    assert matches.similarities.dtype == np.float32
    assert matches.counts.tolist() == [10] * 7


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_graph_finds_what_exact_search_finds(metric, small_graphs):
    vectors = clustered(2000)
    index = fs.VisualIndex(dim=32, metric=metric)
    index.add_vectors(vectors)
    assert index.has_graph
    found, truth = index.search_vectors(vectors, k=10), index.search_vectors(vectors, k=10, exact=True)
    assert fs.metrics.recall_at_k(found.ids, truth.ids) > 0.99
    assert (found.ids[:, 0] == np.arange(2000)).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_similarities_from_the_graph_are_those_of_exact_search(metric, small_graphs, monkeypatch):
    from fashionsearch.index.engines import planner as searching

    vectors = clustered(1500) * np.random.default_rng(1).uniform(0.1, 10, (1500, 1)).astype(np.float32)
    vectors[300:700] = vectors[300]  # twins, which share a node
    index = fs.VisualIndex(dim=32, metric=metric, m=3, ef_construction=5, ef_search=4)
    index.add_vectors(vectors, metadata={"third": [i % 3 for i in range(1500)]})
    index.remove(list(range(300, 320)) + list(range(900, 950)))
    assert index._engine._state.graph._hidden, "the graph is too good for this test to mean anything"
    monkeypatch.setattr(searching, "graph_is_cheaper", lambda *_: True)
    for where in (None, {"third": [0, 1]}):
        found = index.search_vectors(vectors, k=10, where=where)
        for query in range(0, 1500, 7):
            alike = index.search_vectors(vectors[query], k=1500, where=where, exact=True)
            exact = dict(zip(alike.ids[0].tolist(), alike.similarities[0].tolist(), strict=True))
            wanted = [exact[item] for item in found.ids[query].tolist()]
            np.testing.assert_allclose(found.similarities[query], wanted, rtol=1e-4, atol=2e-3)
            assert (np.diff(found.similarities[query]) <= 0).all()


@pytest.mark.parametrize(
    ("queries", "kept", "candidates", "pays"),
    [(1, 10_000, 160, True), (1, 1_000, 1510, False), (1000, 10_000, 160, False), (1000, 90_000, 50, True)],
)
def test_agraph_is_cheaper_for_few_queries_and_many_rows(queries, kept, candidates, pays):
    from fashionsearch.index.engines import planner as searching

    assert searching.graph_is_cheaper(queries, kept, candidates) is pays


def test_fields_come_in_the_order_they_were_added():
    index = fs.VisualIndex(dim=2)
    index.add_vectors([[1, 0], [1, 0.1], [0, 1]], metadata=[{"a": 1, "b": 2}, {"b": 3}, {"a": 4, "b": 5}])
    some, all_ = index.search_vectors([1, 0], k=3), index.search_vectors([1, 0], k=1)
    assert [list(row) for row in some.metadata[0]] == [["a", "b"], ["b"], ["a", "b"]]
    assert list(all_.metadata[0, 0]) == list(index.get(0).metadata) == ["a", "b"]


def test_every_vector_finds_itself_even_with_a_poor_graph(small_graphs):
    vectors = np.random.default_rng(0).normal(size=(3000, 32)).astype(np.float32)
    index = fs.VisualIndex(dim=32, m=3, ef_construction=5, ef_search=4)
    index.add_vectors(vectors)
    assert index._engine._state.graph._hidden, "the graph is too good for this test to mean anything"
    assert (index.search_vectors(vectors, k=1).ids[:, 0] == np.arange(3000)).all()


def test_many_equal_vectors_hide_nobody(small_graphs):
    vectors = clustered(1500)
    vectors[:800] = vectors[0]
    index = fs.VisualIndex(dim=32)
    index.add_vectors(vectors)
    assert index._engine._state.graph.nodes == 701
    assert (index.search_vectors(vectors[800:], k=1).ids[:, 0] == np.arange(800, 1500)).all()
    assert set(index.search_vectors(vectors[:1], k=100).ids[0]) <= set(range(800))


def test_random_operations_equal_a_dictionary(small_graphs):
    rng = np.random.default_rng(0)
    index, model = fs.VisualIndex(dim=32), {}
    for step in range(60):
        kind = rng.integers(0, 4)
        if kind <= 1:
            ids = [f"p{number}" for number in rng.choice(400, size=rng.integers(1, 40), replace=False)]
            vectors = clustered(len(ids), seed=step)
            index.add_vectors(vectors, ids=ids, metadata=[{"step": step, "odd": bool(step % 2)}] * len(ids))
            model.update({item: (vector, step) for item, vector in zip(ids, vectors, strict=True)})
        elif kind == 2 and model:
            gone = [str(item) for item in rng.choice(list(model), size=min(len(model), 15), replace=False)]
            index.remove(gone)
            for item in gone:
                del model[item]
        elif model:
            item = str(rng.choice(list(model)))
            index.update(item, {"seen": step})
            assert index.get(item).metadata["seen"] == step
        assert len(index) == len(model)
        assert set(index) == set(model)
        if model:
            names = list(model)
            truth = np.stack([model[name][0] for name in names])
            query = clustered(1, seed=1000 + step)
            scores = (truth @ query[0]) / np.linalg.norm(truth, axis=1) / np.linalg.norm(query[0])
            best = [names[i] for i in np.argsort(-scores)[:5]]
            found = index.search_vectors(query, k=5, exact=True)
            assert found.ids[0, : found.counts[0]].tolist() == best
            odd = {name for name in names if model[name][1] % 2}
            filtered = index.search_vectors(query, k=3, where={"odd": True}) if len(odd) else None
            if filtered is not None:
                assert filtered.counts[0] == min(3, len(odd))
                assert set(filtered.ids[0, : filtered.counts[0]]) <= odd
    assert index.has_graph


def test_places_beyond_counts_hold_none_and_nan():
    index = fs.VisualIndex(dim=2)
    index.add_vectors([[1, 0], [0, 1]], ids=["a", "b"], metadata={"colour": ["red", "blue"]})
    matches = index.search_vectors([1, 0.2], k=4)
    assert matches.ids.shape == (1, 2), "no wider than there are items"
    filtered = index.search_vectors([1, 0.2], k=4, where={"colour": "blue"})
    assert filtered.ids.shape == filtered.similarities.shape == filtered.metadata.shape == (1, 2)
    assert filtered.ids[0].tolist() == ["b", None]
    assert np.isnan(filtered.similarities[0, 1:]).all()
    assert filtered.metadata[0, 1:].tolist() == filtered.sources[0, 1:].tolist() == [None]
    assert filtered.counts.tolist() == [1]


def test_a_large_k_costs_nothing_on_few_items():
    index = fs.VisualIndex(dim=2)
    index.add_vectors(np.random.default_rng(0).normal(size=(10, 2)))
    tracemalloc.start()
    matches = index.search_vectors(np.random.default_rng(1).normal(size=(50, 2)), k=1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert matches.ids.shape == (50, 10)
    assert (matches.counts == 10).all()
    assert peak < 2**20


def test_an_empty_index_answers_with_nothing():
    matches = fs.VisualIndex(dim=3).search_vectors(np.eye(3), k=2, where={"colour": "red"})
    assert matches.counts.tolist() == [0, 0, 0]
    assert len(matches) == 3


def test_upsert_replaces_vector_and_metadata():
    index = fs.VisualIndex(dim=2)
    index.add_vectors(
        [[1, 0], [0, 1]], ids=[7, 8], metadata={"colour": ["red", "blue"], "year": [2011, 2012]}
    )
    index.add_vectors([[0, -1]], ids=[7], metadata=[{"colour": "green"}])
    assert index.get(7).metadata == {"colour": "green"}
    assert list(index) == [7, 8]
    assert index.search_vectors([0, -1], k=1).ids[0, 0] == 7
    np.testing.assert_array_equal(index.get(7).vector, [0, -1])


def test_ids_go_on_after_the_largest():
    index = fs.VisualIndex(dim=2)
    assert index.add_vectors([[1, 0], [0, 1]]).ids == (0, 1)
    index.add_vectors([[1, 1]], ids=[10])
    index.remove([0, 10])
    assert index.add_vectors([[2, 1]]).ids == (11,)
    assert 10 not in index
    assert 11 in index


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"gender": "Women"}, {0, 1}),
        ({"gender": ["Women", "Girls"]}, {0, 1, 3}),
        ({"gender": "Women", "year": {"gte": 2012}}, {1}),
        ({"year": {"gt": 2010, "lt": 2013}}, {0, 1}),
        ({"year": {"lte": 2011}}, {0}),
        ({"year": 2012}, {1}),
        ({"size": {"gte": 40}}, {1, 2}),
        ({"size": 38}, {0}),
        ({"sale": True}, {1}),
        ({"sale": None}, {2, 3}),
        ({"size": "38"}, {0}),
        ({"year": "2012"}, {1}),
        ({"year": {"gte": "2012"}}, {1, 2}),
        ({"sale": "true"}, {1}),
    ],
)
def test_filters(where, expected):
    index = fs.VisualIndex(dim=2)
    index.add_vectors(
        np.random.default_rng(0).normal(size=(4, 2)),
        metadata=[
            {"gender": "Women", "year": 2011, "size": "38", "sale": False},
            {"gender": "Women", "year": np.int64(2012), "size": "40", "sale": True},
            {"gender": "Men", "year": 2013, "size": "42.5", "sale": None},
            {"gender": "Girls", "year": float("nan"), "size": "XL"},
        ],
    )
    matches = index.search_vectors([1, 1], k=4, where=where)
    assert set(matches.ids[0, : matches.counts[0]]) == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"gender": "Boys"}, "'gender' was to be 'Boys', and holds most often 'Women', 'Men', 'Girls'"),
        ({"sale": 1}, "'sale' was to be 1, and holds most often False, True"),
        ({"year": {"gte": 2020}}, "'year' was to be gte 2020, and holds most often 2011"),
        ({"gender": "Girls", "year": 2011}, "'Girls', and holds .*; 'year' was to be 2011"),
        ({"gender": ["a", "b", "c", "d", "e", "f"]}, "'e' or …, and holds"),
        ({"note": "x"}, "'note' was to be 'x', and holds most often None alone"),
    ],
)
def test_a_filter_that_nothing_fits_says_what_there_is(where, message):
    index = fs.VisualIndex(dim=2)
    index.add_vectors(
        np.eye(2).repeat(2, axis=0),
        metadata={
            "gender": ["Women", "Women", "Men", "Girls"],
            "sale": [False, True, False, None],
            "year": [2011, 2011, 2012, 2013],
            "note": [None] * 4,
        },
    )
    with pytest.warns(errors.DataWarning, match=f"no item fits the filter: .*{message}"):
        matches = index.search_vectors([1, 1], where=where)
    assert matches.counts.tolist() == [0]


def test_a_wide_filter_on_a_large_index_finds_k(small_graphs, monkeypatch):
    from fashionsearch.index.engines import planner as searching

    monkeypatch.setattr(searching, "graph_is_cheaper", lambda *_: True)
    vectors = clustered(2000)
    index = fs.VisualIndex(dim=32)
    index.add_vectors(vectors, metadata={"third": [i % 3 for i in range(2000)]})
    found = index.search_vectors(vectors[:50], k=10, where={"third": [0, 1]})
    truth = index.search_vectors(vectors[:50], k=10, where={"third": [0, 1]}, exact=True)
    assert (found.counts == 10).all()
    assert fs.metrics.recall_at_k(found.ids, truth.ids) > 0.98


BAD_WHERE = [
    ("red", "is not a mapping"),
    ({"colour": {"near": 3}}, "the comparisons are gt, gte, lt, lte"),
    ({"colour": {}}, "the comparisons are"),
    ({"colour": []}, "empty list"),
    ({"color": "red"}, "Did you mean 'colour'"),
    ({"colour": {"gte": None}}, "give a number or text"),
    ({"colour": object()}, "give text, a finite number"),
]


@pytest.mark.parametrize(("where", "message"), BAD_WHERE)
def test_bad_filters_are_named(where, message):
    index = fs.VisualIndex(dim=2)
    index.add_vectors([[1, 0]], metadata=[{"colour": "red"}])
    with pytest.raises(errors.InputError, match=message):
        index.search_vectors([1, 0], where=where)


BAD_ADDS = [
    ({"vectors": [[1, 0, 0]]}, r"shape \(1, 3\), and this index holds \(n, 2\)"),
    ({"vectors": [[1, np.nan]]}, "vector 0 holds NaN or infinity"),
    ({"vectors": [[1, 0], [0, 0]]}, "vector 1 is all zeros"),
    ({"vectors": [[1e30, 0]]}, "too short or too long"),
    ({"vectors": "abc"}, "can't be read as"),
    ({"vectors": [[1, 0]], "ids": ["x", "y"]}, "2 ids and 1 items"),
    ({"vectors": [[1, 0]], "ids": [3]}, "ids are of type"),
    ({"vectors": [[1, 0]], "ids": [True]}, "ids are strings or integers"),
    ({"vectors": [[1, 0], [0, 1]], "ids": ["x", "x"]}, "occurs twice, at positions 0 and 1"),
    ({"vectors": [[1, 0]]}, "has text ids"),
    ({"vectors": [[1, 0]], "ids": ["x"], "metadata": [{}, {}]}, "2 entries, and there are 1 items"),
    ({"vectors": [[1, 0]], "ids": ["x"], "metadata": {"a": [1, 2]}}, "holds 2 values"),
    ({"vectors": [[1, 0]], "ids": ["x"], "metadata": {"a": "r"}}, "one value for each item"),
    ({"vectors": [[1, 0]], "ids": ["x"], "metadata": [{"a": [1]}]}, "give text, a finite number"),
    ({"vectors": [[1, 0]], "ids": ["x"], "metadata": [{3: 1}]}, "a field's name is text"),
    ({"vectors": [[1, 0]], "ids": ["x"], "metadata": ["red"]}, "is not a mapping"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ADDS)
def test_bad_additions_change_nothing(arguments, message):
    index = fs.VisualIndex(dim=2)
    index.add_vectors([[1, 0]], ids=["a"], metadata=[{"colour": "red"}])
    with pytest.raises(errors.InputError, match=message):
        index.add_vectors(**arguments)
    assert list(index) == ["a"]
    assert index.get("a").metadata == {"colour": "red"}


def test_unknown_ids_change_nothing():
    index = fs.VisualIndex(dim=2)
    index.add_vectors([[1, 0], [0, 1]], ids=["a", "b"])
    with pytest.raises(errors.UnknownIdError, match="no item has the id 'c'; the index holds 2"):
        index.remove(["a", "c"])
    assert list(index) == ["a", "b"]
    with pytest.raises(KeyError):
        index.get("c")
    with pytest.raises(errors.UnknownIdError, match="ids here are of type str"):
        index.get(0)
    index.remove("a")
    index.remove(["b", "b"])
    assert len(index) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give an encoder"),
        ({"dim": 0}, "dim=0 is not a whole number from 1 to 1000000"),
        ({"dim": 2**70}, "dim=1180591620717411303424 is not a whole number from 1 to"),
        ({"dim": 2, "ef_search": 2**70}, "ef_search=1180591620717411303424"),
        ({"dim": 2, "ef_construction": 2**70}, "ef_construction=1180591620717411303424"),
        ({"dim": 2, "random_state": 2**70}, "random_state=1180591620717411303424"),
        ({"dim": 2.5}, "dim=2.5"),
        ({"dim": 2, "metric": "cosin"}, "Did you mean 'cosine'"),
        ({"dim": 2, "engine": "fiass"}, "not one of hnsw, faiss, exact.*Did you mean .faiss."),
        ({"dim": 2, "m": 1}, "m=1"),
        ({"dim": 2, "ef_search": "50"}, "ef_search='50'"),
        ({"encoder": object()}, "is not an encoder"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(errors.InputError, match=message):
        fs.VisualIndex(**options)


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "5", None])
def test_bad_k_is_named(k):
    index = fs.VisualIndex(dim=2)
    with pytest.raises(errors.InputError, match="k="):
        index.search_vectors([1, 0], k=k)


def test_without_hnswlib_search_is_exact(monkeypatch):
    monkeypatch.setattr(hnsw, "available", lambda: False)
    with pytest.warns(errors.DataWarning, match="going on with exact search"):
        index = fs.VisualIndex(dim=2)
    assert index.engine == "exact"


@pytest.fixture(scope="module")
def catalogue():
    return fs.datasets.make_catalogue(24, seed=3)


@pytest.fixture(scope="module")
def backbone():
    return fs.create_backbone("efficientnet_lite0", image_size=64, progress=False)


def test_photos_in_photos_out(catalogue, backbone, tmp_path):
    from PIL import Image

    paths = []
    for position, image in enumerate(catalogue.images[:6]):
        path = tmp_path / f"{position}.png"
        Image.fromarray(image).save(path)
        paths.append(str(path))
    Image.open(paths[0]).save(tmp_path / "twin.png")
    index = fs.VisualIndex(backbone)
    added = index.add(
        [*paths, str(tmp_path / "twin.png")], ids=[*"abcdef", "twin"], metadata=[{"n": i} for i in range(7)]
    )
    assert added.ids == (*"abcdef", "twin")
    matches = index.search([*paths, str(tmp_path / "twin.png")], k=3)
    assert matches.ids[:, 0].tolist() == [*"abcdef", "twin"], "each file finds itself, also beside its twin"
    assert matches.ids[0, 1] == "twin"
    assert matches.sources[2, 0] == paths[2]
    assert matches.metadata[3, 0] == {"n": 3}
    assert index.search(paths[0], k=1).ids.shape == (1, 1)
    page = matches._repr_html_()
    assert page.count("<img") == 7 * 4
    assert len(fs.plots.matches(index.search(paths * 2, k=2), most=12, figure=Figure())) == 12 * 3


def test_bad_photos_are_left_out_by_name(catalogue, backbone, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    images = [
        catalogue.images[0],
        str(tmp_path / "broken.jpg"),
        catalogue.images[1],
        str(tmp_path / "gone.jpg"),
    ]
    index = fs.VisualIndex(backbone)
    with pytest.raises(errors.ImageError, match=r"image 1 \(.*broken.jpg\)"):
        index.add(images, ids=list("abcd"))
    assert len(index) == 0
    added = index.add(images, ids=list("abcd"), metadata={"n": [0, 1, 2, 3]}, on_error="skip")
    assert added.ids == ("a", "c")
    assert [failure.position for failure in added.failures] == [1, 3]
    assert index.get("c").metadata == {"n": 2}
    assert "left out 2" in repr(added)
    with pytest.raises(errors.InputError, match="neither 'raise' nor 'skip'"):
        index.add(images, ids=list("abcd"), on_error="ignore")


class MeanColour:
    """An encoder of the user's own."""

    dim = 3

    def __init__(self, gain=1.0):
        self.gain = gain

    def embed(self, images):
        return np.stack([read_image(i).mean(axis=(0, 1)) ** self.gain + 1 for i in images]).astype(np.float32)


def test_an_encoder_of_ones_own(catalogue, tmp_path):
    index = fs.VisualIndex(MeanColour())
    index.add(catalogue.images)
    found = index.search(catalogue.images[:5], k=1)
    assert found.ids[:, 0].tolist() == [0, 1, 2, 3, 4]
    index.save(tmp_path / "colours")
    again = fs.VisualIndex.load(tmp_path / "colours")
    with pytest.raises(errors.InputError, match="no encoder to search by photo"):
        again.search(catalogue.images[0])
    same = fs.VisualIndex.load(tmp_path / "colours", encoder=MeanColour())
    np.testing.assert_array_equal(
        same.search(catalogue.images[:5], k=3).ids, index.search(catalogue.images[:5], k=3).ids
    )
    with pytest.raises(errors.EncoderMismatchError, match="MeanColour"):
        fs.VisualIndex.load(tmp_path / "colours", encoder=MeanColour(gain=3.0))


def test_a_saved_index_goes_on(catalogue, backbone, tmp_path):
    index = fs.VisualIndex(backbone, ef_search=77, m=8)
    index.add(catalogue.images, metadata=catalogue.metadata)
    index.remove(3)
    index.save(tmp_path / "saved")
    again = fs.VisualIndex.load(tmp_path / "saved")
    assert (again.ef_search, again.m, again.metric, len(again)) == (77, 8, "cosine", 23)
    before, after = (
        i.search(catalogue.images[:4], k=5, where={"year": {"gte": 2010}}) for i in (index, again)
    )
    np.testing.assert_array_equal(before.ids, after.ids)
    np.testing.assert_array_equal(before.similarities, after.similarities)
    assert again.add(catalogue.images[:1]).ids == (24,), "numbering goes on"
    again.save(tmp_path / "saved")
    assert len(fs.VisualIndex.load(tmp_path / "saved")) == 24


def test_another_encoder_is_refused(catalogue, backbone, tmp_path):
    index = fs.VisualIndex(backbone)
    index.add(catalogue.images[:3])
    index.save(tmp_path / "saved")
    fs.VisualIndex.load(tmp_path / "saved", encoder=fs.create_backbone("efficientnet_lite0", image_size=64))
    for other in (
        fs.create_backbone("efficientnet_lite0", image_size=96),
        fs.create_backbone("efficientnet_lite0", image_size=64, resize="pad"),
        fs.create_backbone("efficientnet_lite0", weights=None, image_size=64),
        fs.create_backbone("cnn", weights=None),
        MeanColour(),
    ):
        with pytest.raises(errors.EncoderMismatchError, match="index the photos again"):
            fs.VisualIndex.load(tmp_path / "saved", encoder=other)


def test_a_saved_graph_is_used_and_a_damaged_one_rebuilt(small_graphs, tmp_path, monkeypatch):
    vectors = clustered(600)
    vectors[10] = vectors[11]
    index = fs.VisualIndex(dim=32)
    index.add_vectors(vectors, ids=[str(i) for i in range(600)])
    index.remove(["5"])
    index.save(tmp_path / "saved")
    truth = index.search_vectors(vectors[:40], k=5)
    with monkeypatch.context() as context:
        context.setattr(hnsw.HnswGraph, "add", lambda *_: pytest.fail("the graph was built again"))
        again = fs.VisualIndex.load(tmp_path / "saved")
    np.testing.assert_array_equal(again.search_vectors(vectors[:40], k=5).ids, truth.ids)
    again.add_vectors(vectors[:1], ids=["new"])
    assert set(again.search_vectors(vectors[:1], k=2).ids[0]) == {"0", "new"}
    graph = next((tmp_path / "saved").glob("generation-*/graph.hnsw"))
    damaged = bytearray(graph.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    graph.write_bytes(damaged)
    with pytest.warns(errors.DataWarning, match="building the graph again"):
        rebuilt = fs.VisualIndex.load(tmp_path / "saved")
    assert fs.metrics.recall_at_k(rebuilt.search_vectors(vectors[:40], k=5).ids, truth.ids) > 0.98


def test_a_graph_that_was_not_written_whole_is_noticed(small_graphs, tmp_path, monkeypatch):
    index = fs.VisualIndex(dim=32)
    index.add_vectors(clustered(200))
    index.save(tmp_path / "saved")
    index.add_vectors(clustered(10, seed=9))

    class Short:
        """hnswlib on a full disk: it writes what fits and reports success."""

        def __init__(self, inner):
            self.inner = inner

        def save_index(self, path):
            self.inner.save_index(path)
            os.truncate(path, 1000)

        def index_file_size(self):
            return self.inner.index_file_size()

    graph = index._engine._state.graph
    monkeypatch.setattr(graph, "_index", Short(graph._index))
    with pytest.raises(errors.StorageError, match=r"1,000 of .* bytes were written"):
        index.save(tmp_path / "saved")
    assert len(fs.VisualIndex.load(tmp_path / "saved")) == 200


CHILD = """
import sys, numpy as np, fashionsearch as fs
index = fs.VisualIndex(dim=8)
step = 0
print("ready", flush=True)
while True:
    step += 1
    index.add_vectors(np.random.default_rng(step).normal(size=(50, 8)), metadata=[{"step": step}] * 50)
    index.save(sys.argv[1])
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_killed_while_saving_loses_nothing(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "saved")], stdout=subprocess.PIPE
        )
        child.stdout.readline()
        time.sleep(0.15 + rng.uniform(0, 0.2))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        index = fs.VisualIndex.load(tmp_path / "saved")
        steps = [index.get(item).metadata["step"] for item in index]
        assert len(index) % 50 == 0
        assert steps == sorted(steps)
        assert len(index) == 50 * max(steps), "all that was added up to one save, and nothing else"


def test_threads_add_search_and_save_at_once(small_graphs, tmp_path):
    index = fs.VisualIndex(dim=32)
    index.add_vectors(clustered(300))
    failures = []

    def work(action):
        try:
            for round_ in range(15):
                action(round_)
        except Exception as error:
            failures.append(error)

    actions = [
        lambda round_: index.add_vectors(clustered(20, seed=round_)),
        lambda round_: index.search_vectors(clustered(5, seed=round_), k=10),
        lambda round_: index.remove([round_]),
        lambda round_: index.save(tmp_path / "saved"),
    ]
    threads = [threading.Thread(target=work, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(index) == 300 + 15 * 20 - 15


def test_the_classifier_is_an_encoder(catalogue, tmp_path):
    classifier = fs.Classifier(image_size=64, progress=False).fit(
        catalogue.images, catalogue["masterCategory"]
    )
    index = fs.VisualIndex(classifier)
    index.add(catalogue.images)
    index.save(tmp_path / "saved")
    again = fs.VisualIndex.load(tmp_path / "saved", encoder=classifier)
    assert again.search(catalogue.images[5], k=1).ids[0, 0] == 5
    assert fs.VisualIndex.load(tmp_path / "saved").search(catalogue.images[5], k=1).ids[0, 0] == 5

"""Pages of an answer, without what was shown, and each product once."""

import copy

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(60, 6)).astype(np.float32)
QUERIES = RNG.normal(size=(7, 6)).astype(np.float32)


@pytest.fixture(scope="module", params=["hnsw", "exact"])
def index(request):
    index = fs.VisualIndex(dim=6, engine=request.param, progress=False)
    metadata = [{"n": n, "product": None if n % 10 == 9 else n // 4} for n in range(60)]
    index.add_vectors(VECTORS, metadata=metadata)
    return index


@pytest.fixture
def poor(monkeypatch):
    """An index whose graph finds every other item only."""
    from fashionsearch.index.engines import local

    index = fs.VisualIndex(dim=6, engine="exact", progress=False)
    index.add_vectors(VECTORS, metadata=[{"n": n, "product": n // 4} for n in range(60)])
    search = local.LocalEngine.search

    def half(self, vectors, k, condition, exact):
        found = search(self, vectors, len(self), condition, True)
        if exact:
            return found.rearranged(np.tile(np.arange(min(k, 60)), (len(vectors), 1)))
        return found.rearranged(np.tile(np.arange(0, 60, 2)[:k], (len(vectors), 1)))

    monkeypatch.setattr(local.LocalEngine, "search", half)
    return index


@pytest.mark.parametrize("k", [1, 4, 7, 25])
def test_pages_hold_every_item_once(index, k):
    pages = [index.search_vectors(QUERIES, k=k, offset=offset) for offset in range(0, 80, k)]
    truth = index.search_vectors(QUERIES, k=60, exact=True)
    for query in range(len(QUERIES)):
        ids = [match.id for found in pages for match in found[query]]
        assert ids == truth.ids[query].tolist()
    last = pages[-1]
    assert last.ids.shape == (7, k)
    assert set(last.ids[:, last.counts[0] :].ravel()) <= {None}


def test_pages_hold_every_item_once_where_the_first_is_found_poorly(poor):
    pages = [poor.search_vectors(QUERIES, k=5, offset=offset) for offset in range(0, 60, 5)]
    for query in range(len(QUERIES)):
        ids = [match.id for found in pages for match in found[query]]
        assert sorted(ids) == list(range(60))
        assert ids[:5] == [match.id for match in poor.search_vectors(QUERIES, k=5)[query]]
    again = poor.search_vectors(QUERIES, k=5, offset=15)
    np.testing.assert_array_equal(again.ids, pages[3].ids)


def test_what_is_excluded_is_no_answer_and_k_are_found(index):
    plain = index.search_vectors(QUERIES, k=20)
    shown = {*plain.ids[0, :6].tolist(), 999, 5}
    found = index.search_vectors(QUERIES, k=10, exclude=shown)
    assert (found.counts == 10).all()
    truth = index.search_vectors(QUERIES, k=60, exact=True)
    for query in range(len(QUERIES)):
        expected = [item for item in truth.ids[query] if item not in shown][:10]
        assert found.ids[query].tolist() == expected
    assert index.search_vectors(QUERIES, k=5, exclude=range(60)).counts.tolist() == [0] * 7
    with pytest.raises(errors.InputError, match=r"id 1\.5 is of type float"):
        index.search_vectors(QUERIES, exclude=[1.5])


def grouped(truth, query, key="product"):
    """Return the order of the groups' nearest items, the slow way."""
    seen, ids = set(), []
    for match in truth[query]:
        group = match.metadata.get(key)
        group = ("item", match.id) if group is None else ("group", group)
        if group not in seen:
            seen.add(group)
            ids.append(match.id)
    return ids


@pytest.mark.parametrize("where", [None, {"n": {"gte": 20}}])
def test_each_product_is_shown_once_by_its_nearest_photo(index, where):
    truth = index.search_vectors(QUERIES, k=60, exact=True, where=where)
    pages = [
        index.search_vectors(QUERIES, k=6, offset=offset, group_by="product", where=where)
        for offset in range(0, 30, 6)
    ]
    for query in range(len(QUERIES)):
        ids = [match.id for found in pages for match in found[query]]
        assert ids == grouped(truth, query)[: len(ids)]
        assert len(ids) == len(grouped(truth, query))
    assert (pages[0].counts == 6).all()


def test_one_group_that_holds_nearly_all_is_no_reason_to_find_less(index):
    many = fs.VisualIndex(dim=6, progress=False)
    many.add_vectors(
        np.tile(QUERIES[0], (500, 1)) + RNG.normal(size=(500, 6)) * 1e-3, metadata={"product": ["a"] * 500}
    )
    many.add_vectors(VECTORS[:4], metadata={"product": ["b", "c", "c", None]})
    found = many.search_vectors(QUERIES[:1], k=5, group_by="product")
    assert [match.metadata["product"] for match in found[0]].count("a") == 1
    assert found.counts.tolist() == [4]


def test_values_of_different_kinds_are_different_products():
    index = fs.VisualIndex(dim=2, progress=False)
    index.add_vectors([[1, 0], [1, 0.1], [1, 0.2]], metadata={"product": [1, True, "1"]})
    assert index.search_vectors([1, 0], k=3, group_by="product").counts[0] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"offset": -1}, "offset=-1 is not a whole number from 0"),
        ({"group_by": "prodct"}, r"group_by names the field 'prodct'.*Did you mean 'product'"),
        ({"group_by": 3}, "group_by=3 is not the name"),
    ],
)
def test_bad_arguments_are_named(index, options, message):
    with pytest.raises(errors.InputError, match=message):
        index.search_vectors(QUERIES, **options)


def test_photos_are_paged_too(tmp_path):
    photos = fs.datasets.make_catalogue(12, seed=2, size=(24, 32)).images
    paths = [tmp_path / f"{number}.png" for number in range(12)]
    for path, photo in zip(paths, photos, strict=True):
        Image.fromarray(np.asarray(photo)).save(path)
    paths.append(tmp_path / "copy.png")
    paths[-1].write_bytes(paths[0].read_bytes())
    index = fs.VisualIndex(fs.create_backbone("cnn", weights=None, random_state=0), progress=False)
    index.add(paths, metadata={"product": [number % 3 for number in range(13)]})
    pages = [index.search(paths[-1], k=4, offset=offset) for offset in range(0, 16, 4)]
    ids = [match.id for found in pages for match in found[0]]
    assert ids[:2] == [12, 0], "the file itself before its copy"
    assert sorted(ids) == list(range(13))
    assert pages[1].queries == (paths[-1],)
    assert index.search(paths[-1], k=4, group_by="product").counts[0] == 3


def test_pages_stay_where_a_graph_becomes_ready_between_them(poor, monkeypatch):
    from fashionsearch.index.engines import local

    poorly = local.LocalEngine.search
    monkeypatch.setattr(
        local.LocalEngine,
        "search",
        lambda self, vectors, k, where, exact: poorly(self, vectors, k, where, True),
    )
    options = {"k": 5, "where": {"n": {"gte": 0}}, "exclude": [3, 4]}
    pages = {name: [poor.search_vectors(QUERIES, **{**options, **more})] for name, more in MORE.items()}
    monkeypatch.setattr(local.LocalEngine, "search", poorly)  # now there is a graph
    for name, more in MORE.items():
        for offset in range(5, 60, 5):
            pages[name].append(poor.search_vectors(QUERIES, offset=offset, **{**options, **more}))
        for query in range(len(QUERIES)):
            ids = [match.id for found in pages[name] for match in found[query]]
            expected = set(range(60)) - set(more.get("exclude", {3, 4}))
            if "group_by" in more:
                assert sorted(item // 4 for item in ids) == list(range(15))
            else:
                assert sorted(ids) == sorted(expected)


MORE = {
    "plain": {},
    "without": {"exclude": ()},
    "grouped": {"group_by": "product"},
    "varied": {"diversity": 0.1},
}


def test_a_first_page_of_before_a_change_is_forgotten():
    index = fs.VisualIndex(dim=6, progress=False)
    index.add_vectors(VECTORS)
    index.search_vectors(QUERIES, k=5)
    index.add_vectors(QUERIES, ids=range(100, 107))
    truth = index.search_vectors(QUERIES, k=10, exact=True).ids
    assert index.search_vectors(QUERIES, k=5, offset=5).ids.tolist() == truth[:, 5:].tolist()


def test_few_first_pages_are_remembered(monkeypatch):
    from fashionsearch.index import first_pages

    monkeypatch.setattr(first_pages, "_MOST_PLACES", 100)
    index = fs.VisualIndex(dim=6, progress=False)
    index.add_vectors(VECTORS)
    for query in VECTORS:
        index.search_vectors(query, k=7)
        index.search_vectors(query, k=7)
    remembered = index._first_pages
    pages = remembered._pages
    assert remembered._places == sum(1 + found.ids.size for found in pages.values()) <= 100
    assert all(len(each) <= 32 for key in pages for part in key if isinstance(part, tuple) for each in part)
    index.search_vectors(VECTORS, k=7)  # more than all that may be
    assert not remembered._pages
    assert copy.deepcopy(index).search_vectors(VECTORS[0], k=7, offset=7).counts[0] == 7
    nothing = fs.VisualIndex(dim=6, progress=False)
    for query in np.random.default_rng(0).normal(size=(200, 6)):
        nothing.search_vectors(query, k=7)
    assert len(nothing._first_pages._pages) <= 100

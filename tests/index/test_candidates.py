"""Items ranked by what is said: candidates of an engine, and the order of their scores."""

from dataclasses import dataclass

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch.index import filters
from fashionsearch.index.candidates import Ranking, diverse
from fashionsearch.index.queries import Likeness, unit


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@dataclass(frozen=True)
class Favour:
    """A term that no vector tells: even ids are wanted."""

    n: int
    dim: int
    name: str = "favour"
    is_linear: bool = False

    @property
    def probes(self):
        return np.zeros((self.n, self.dim), np.float32)

    def scores(self, query, rows):
        return np.array([float(item % 2 == 0) for item in rows.ids], np.float32)


@pytest.fixture
def index(rng):
    made = fs.VisualIndex(dim=16, progress=False)
    made.add_vectors(rng.normal(size=(400, 16)), metadata={"half": [n % 2 for n in range(400)]})
    return made


@pytest.fixture
def asked(rng):
    return Likeness("vector", unit(rng.normal(size=(3, 16)).astype(np.float32)))


def everything(index, asked, query):
    rows = index._engine.fetch(list(index))
    return list(rows.ids), asked.scores(query, rows)


def test_candidates_are_ranked_by_all_that_is_said(index, asked):
    ranking = Ranking(index._engine, [asked, Favour(3, 16)])
    found = ranking.itemised(ranking.find(20))
    for query in range(3):
        ids, alike = everything(index, asked, query)
        scores = alike + np.array([item % 2 == 0 for item in ids])
        pool = np.argsort(-alike)[:300]
        best = [ids[place] for place in pool[np.argsort(-scores[pool])][:20]]
        assert found.ids[query].tolist() == best
        np.testing.assert_allclose(found.similarities[query], alike[best], atol=1e-5)
    first = found[0][0]
    assert first.parts == {"vector": pytest.approx(first.similarity, abs=1e-5), "favour": 1.0}


def test_the_order_does_not_depend_on_how_many_are_asked_for(index, asked):
    ranking = Ranking(index._engine, [asked, Favour(3, 16)], diversity=0.3, depth=50)
    most = ranking.find(400)
    assert most.counts.tolist() == [400] * 3
    assert all(len(set(row)) == 400 for row in most.ids.tolist())
    for count in (1, 7, 50, 200):
        assert ranking.find(count).ids.tolist() == most.ids[:, :count].tolist()


def test_exact_ranks_every_item(index, asked):
    found = Ranking(index._engine, [asked, Favour(3, 16)], exact=True, depth=5).find(300)
    for query in range(3):
        ids, alike = everything(index, asked, query)
        scores = alike + np.array([item % 2 == 0 for item in ids])
        assert found.ids[query].tolist() == [ids[place] for place in np.argsort(-scores)[:300]]


def test_excluded_items_and_those_that_a_filter_leaves_out_are_no_candidates(index, asked):
    condition = filters.parse({"half": 0})
    first = Ranking(index._engine, [asked], condition, diversity=0.5).find(10)
    excluded = frozenset(first.ids[0].tolist())
    found = Ranking(index._engine, [asked], condition, diversity=0.5, exclude=excluded).find(150)
    assert not excluded & set(found.ids[0].tolist())
    assert found.counts[0] == 150
    assert all(item % 2 == 0 for item in found.ids[0].tolist())


def test_diverse_items_are_unlike_each_other():
    vectors = unit(np.array([[1, 0], [1, 0.01], [1, 0.02], [0.6, 0.8]], np.float32))
    scores = vectors @ np.array([1, 0], np.float32)
    assert diverse(vectors, scores, 0.0, 4).tolist() == [0, 1, 2, 3]
    assert diverse(vectors, scores, 0.7, 2).tolist() == [0, 3]


def test_no_items_and_no_queries(asked):
    index = fs.VisualIndex(dim=16)
    found = Ranking(index._engine, [asked, Favour(3, 16)], diversity=0.3).find(5)
    assert found.counts.tolist() == [0, 0, 0]
    nobody = Likeness("vector", np.zeros((0, 16), np.float32))
    index.add_vectors(np.eye(16))
    ranking = Ranking(index._engine, [nobody, Favour(0, 16)])
    assert len(ranking.itemised(ranking.find(5))) == 0


def test_pages_of_a_graph_hold_each_item_once_whatever_is_said(rng):
    index = fs.VisualIndex(dim=64, m=4, ef_construction=20, ef_search=10, progress=False)
    index.add_vectors(rng.normal(size=(34_000, 64)).astype(np.float32))
    assert index.has_graph
    query = rng.normal(size=(1, 64))
    for said in ({"diversity": 0.1}, {"like": [5, 6]}):
        pages = [
            index.search_vectors(query, k=100, offset=at, **said).ids[0].tolist() for at in range(0, 700, 100)
        ]
        shown = [item for page in pages for item in page]
        assert len(set(shown)) == len(shown) == 700


def test_groups_are_filled_where_much_is_excluded(rng):
    index = fs.VisualIndex(dim=8, progress=False)
    vectors = rng.normal(size=(1000, 8)).astype(np.float32)
    index.add_vectors(vectors)
    nearest = index.search_vectors(vectors[:1], k=1000).ids[0].tolist()
    for rank, item in enumerate(nearest):
        index.update(item, {"group": rank // 100})
    for said in ({}, {"diversity": 0.01}):
        found = index.search_vectors(vectors[:1], k=6, exclude=nearest[:400], group_by="group", **said)
        assert found.counts.tolist() == [6]


def test_items_that_are_removed_meanwhile_are_no_matches(index, asked):
    ranking = Ranking(index._engine, [asked, Favour(3, 16)])
    found = ranking.find(5)
    gone = found.ids[0, 2]
    index.remove(gone)
    shown = ranking.itemised(found)
    assert gone not in shown.ids[0].tolist()
    for query, count in enumerate(shown.counts.tolist()):
        assert np.isfinite(shown.similarities[query, :count]).all()
        assert count == 5 - (found.ids[query] == gone).sum()


@pytest.mark.parametrize(
    "more", [{}, {"where": {"n": {"lt": 40}}}, {"exclude": [1, 2, 3]}, {"diversity": 0.4}]
)
def test_exact_answers_hold_few_items_at_a_time(monkeypatch, more):
    from fashionsearch.index import exhausting
    from fashionsearch.index.engines import local

    rng = np.random.default_rng(3)
    index = fs.VisualIndex(dim=5, progress=False)
    index.add_vectors(rng.normal(size=(60, 5)), metadata={"n": list(range(60))})
    index.add_vectors(index.get(9).vector[None], metadata={"n": [9]})  # one that is equal
    asked = rng.normal(size=(3, 5))
    options = {"k": 61, "like": [4, 5], "unlike": [6], "exact": True, **more}
    whole = index.search_vectors(asked, **options)
    monkeypatch.setattr(exhausting, "_AT_ONCE", 7)
    search, held = local.LocalEngine.search, []
    monkeypatch.setattr(
        local.LocalEngine, "search",
        lambda self, vectors, k, *rest: held.append(len(vectors) * k) or search(self, vectors, k, *rest),
    )  # fmt: skip
    found = index.search_vectors(asked, **options)
    assert max(held, default=0) <= 61, "at most one answer with all items"
    assert found.ids.tolist() == whole.ids.tolist()
    np.testing.assert_array_equal(found.similarities, whole.similarities)
    assert found.metadata[0, 0] == index.get(found.ids[0, 0]).metadata
    left = {*range(40 if "where" in more else 60), 60}
    assert set(found.ids[0, : found.counts[0]]) == left - {4, 5, 6, *more.get("exclude", ())}
    scores = [sum(match.parts.values()) for match in found[0]]
    if "diversity" not in more:
        assert scores == sorted(scores, reverse=True)

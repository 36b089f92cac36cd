"""A buyer's session."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors


@pytest.fixture
def index():
    rng = np.random.default_rng(0)
    kinds = rng.integers(5, size=100)
    vectors = 0.1 * rng.normal(size=(100, 5))
    vectors[np.arange(100), kinds] += 1
    found = fs.VisualIndex(dim=5)
    found.add_vectors(vectors, metadata={"kind": kinds.tolist()})
    return found


def kinds(page):
    return [match.metadata["kind"] for match in page[0]]


def test_the_first_page_is_varied_and_the_same_each_time(index):
    page = index.session().next(5)
    assert sorted(kinds(page)) == [0, 1, 2, 3, 4]
    assert page.ids.tolist() == index.session().next(5).ids.tolist()
    assert np.isnan(page.similarities).all()
    assert page.to_rows()[0]["similarity"] is None


def test_likes_lead_and_nothing_is_shown_twice(index):
    session = index.session()
    first = session.next(5)
    for match in first[0]:
        (session.like if match.metadata["kind"] == 3 else session.unlike)(match.id)
    second = session.next(10)
    assert kinds(second).count(3) >= 9
    shown = [*first.ids[0], *second.ids[0]]
    while (page := session.next(10)).counts[0]:
        shown += page.ids[0, : page.counts[0]].tolist()
    assert sorted(shown) == sorted(index)
    assert session.shown == shown
    assert repr(session) == "Session: 100 items shown, 1 liked, 4 not liked"


def test_varied_pages_go_on_until_all_was_shown(index):
    session = index.session(where={"kind": 2})
    shown = []
    while (page := session.next(4)).counts[0]:
        assert set(kinds(page)) == {2}
        shown += page.ids[0, : page.counts[0]].tolist()
    assert len(shown) == len(set(shown)) == index.facets("kind")[2]


def test_it_starts_from_an_item_and_an_opinion_may_change(index):
    session = index.session(id=0)
    page = session.next(5)
    assert page.ids.tolist() == index.search(id=0, k=5).ids.tolist()
    session.like(page.ids[0, 0])
    session.unlike(page.ids[0, 0])
    assert (session.liked, session.unliked) == ([], [page.ids[0, 0]])
    assert not set(session.next(5).ids[0]) & {*page.ids[0], 0}


def test_removed_items_are_forgotten(index):
    session = index.session()
    page = session.next(5)
    session.like(page.ids[0, 0])
    session.like(page.ids[0, 1])
    index.remove(page.ids[0, 0])
    assert session.next(5).counts[0] == 5
    index.remove(page.ids[0, 1])
    assert session.next(5).counts[0] == 5


def test_what_cannot_be_used_is_named(index):
    with pytest.raises(errors.UnknownIdError, match="no item has the id 'x'"):
        index.session().like("x")
    with pytest.raises(errors.InputError, match="one photo, and there are 2"):
        index.session([np.zeros((4, 4, 3), np.uint8)] * 2)
    with pytest.raises(errors.InputError, match="give one text"):
        index.session(text=["a", "b"])
    with pytest.raises(errors.InputError, match="k=0"):
        index.session().next(0)
    assert fs.VisualIndex(dim=2).session().next(3).counts.tolist() == [0]

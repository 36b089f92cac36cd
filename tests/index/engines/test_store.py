"""`Store`: what is read of its rows by slot, in one go."""

import numpy as np
import pytest

from fashionsearch.index.engines.room import Room
from fashionsearch.index.engines.store import Store
from fashionsearch.index.engines.stored import from_files, to_files
from fashionsearch.index.rows import Rows

HUGE = 2**70


def store_of(*batches):
    """Return a store with the rows of several calls, each given as ids, metadata and sources."""
    store = Store(2)
    for ids, metadata, sources in batches:
        vectors = np.ones((len(ids), 2), dtype=np.float32)
        store.publish(store.adding(Rows(list(ids), vectors, list(metadata), list(sources))))
    return store


def plain(count):
    return [{}] * count, [None] * count


@pytest.mark.parametrize(
    "batches",
    [
        [[0, 1, 2], [7]],
        [["a", "b"], ["c"]],
        [[0, 1], [HUGE, -HUGE], [3]],
        [[HUGE], [1]],
        [[2**63 - 1, -(2**63)], [2**63]],
    ],
)
def test_ids_are_what_they_were(batches):
    store = store_of(*((ids, *plain(len(ids))) for ids in batches))
    expected = [item for ids in batches for item in ids]
    found = store.identities(np.arange(len(expected))[None])
    assert found.dtype == object
    assert found.tolist() == [expected]
    assert [type(item) for item in found[0]] == [type(item) for item in expected]
    assert store.identities(np.array([[0, -1]])).tolist() == [[expected[0], None]]
    again = from_files(*to_files(store), Room())
    assert again.identities(np.arange(len(expected))).tolist() == expected
    assert store.renumbered(np.array([1]), store.vectors[1:2]).identities(np.array([0]))[0] == expected[1]


def test_a_source_is_found_beside_rows_that_have_none():
    store = store_of(([0, 1], *plain(2)))
    assert store.sources(np.array([[1, -1]])).tolist() == [[None, None]]
    store.publish(store.adding(Rows([2], np.ones((1, 2), np.float32), [{}], ["a.jpg"])))
    for each in (
        store,
        from_files(*to_files(store), Room()),
        store.renumbered(np.arange(3), store.vectors.copy()),
    ):
        assert each.sources(np.array([[2, 0, -1]])).tolist() == [["a.jpg", None, None]]


def test_metadata_has_the_fields_that_a_row_has():
    rows = [{"colour": "red", "size": 1}, {"size": None}, {}, {"colour": "blue"}]
    store = store_of((range(4), rows, [None] * 4))
    assert store.metadata(np.arange(4)).rows().tolist() == rows
    assert store.metadata(np.array([[3, -1], [0, 2]])).rows().tolist() == [[rows[3], None], [rows[0], {}]]
    one = store_of((range(3), [{"colour": "red"}, {}, {"colour": "blue"}], [None] * 3))
    assert one.metadata(np.array([0, 2])).rows().tolist() == [{"colour": "red"}, {"colour": "blue"}]
    assert one.metadata(np.array([1, 0])).rows().tolist() == [{}, {"colour": "red"}]
    first, other = one.metadata(np.array([0, 0])).rows()
    first["colour"] = "green"
    assert other == {"colour": "red"} == one.metadata(np.array([0])).rows()[0]


def test_a_field_that_nobody_has_any_more_is_no_trouble():
    store = store_of(([0, 1], [{"colour": "red"}, {}], [None] * 2))
    rest = store.renumbered(np.array([1]), store.vectors[1:2])
    assert rest.metadata(np.array([0])).rows().tolist() == [{}]

"""Metadata that are made when they are read are those of the moment of the search, whatever happens then."""

import copy
import dataclasses
import json
import multiprocessing
import pickle

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch.results import Matches
from fashionsearch.results.columns import MetadataColumns

ROWS = [{"colour": "red", "price": 5}, {"colour": "blue"}, {}, {"colour": "red", "price": None}]


@pytest.fixture
def index():
    index = fs.VisualIndex(dim=2)
    index.add_vectors([[1, 0], [1, 0.1], [1, 0.5], [0, 1]], ids=list("abcd"), metadata=ROWS)
    return index


def is_unmade(matches):
    return isinstance(vars(matches)["metadata"], MetadataColumns)


def test_a_later_change_alters_no_answer(index):
    queries = [[1, 0], [0, 1]]
    before, read = index.search_vectors(queries, k=4), index.search_vectors(queries, k=4).metadata
    assert is_unmade(before)
    index.update("a", {"colour": "green", "size": 3})
    index.remove("b")
    index.add_vectors([[1, 0]], ids=["d"], metadata={"colour": ["black"]})
    index.add_vectors(
        np.eye(2).repeat(500, axis=0), metadata={"price": range(1000)}, ids=list(map(str, range(1000)))
    )
    assert before.metadata.tolist() == read.tolist()
    assert before.metadata[0].tolist() == ROWS
    assert index.search_vectors([1, 0], k=1).metadata[0, 0] == {"colour": "green", "price": 5, "size": 3}


def test_they_are_dictionaries_and_stay_the_same_ones(index):
    found = index.search_vectors([1, 0], k=9, where={"colour": ["red", "blue"]})
    assert is_unmade(found)
    assert found.metadata.shape == (1, 4)
    assert found.metadata.dtype == object
    assert found.metadata[0, 3] is None
    assert not is_unmade(found)
    first = found[0][0].metadata
    assert type(first) is dict
    first["mine"] = True
    assert found.metadata[0, 0] is first
    assert json.loads(json.dumps(found.to_rows()))[1]["metadata"] == {"colour": "blue"}
    assert "mine" not in index.get("a").metadata


@pytest.mark.parametrize(
    "copied",
    [
        lambda matches: pickle.loads(pickle.dumps(matches)),  # noqa: S301 - our own
        copy.copy,
        copy.deepcopy,
        dataclasses.replace,
    ],
)
def test_copies_have_them(index, copied):
    found = index.search_vectors([1, 0], k=3)
    other = copied(found)
    assert other.metadata[0].tolist() == ROWS[:3]
    assert other.ids.tolist() == found.ids.tolist()
    assert other.probabilities.shape == (1, 3)


def test_a_pickle_holds_no_other_items_values():
    index = fs.VisualIndex(dim=2)
    index.add_vectors(np.eye(2), metadata={"word": ["shown", "hidden"]})
    assert b"hidden" not in pickle.dumps(index.search_vectors([1, 0], k=1))


def _read(found):
    return found.metadata.tolist()


def test_a_child_process_reads_them(index):
    found = index.search_vectors([1, 0], k=2)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(_read, (found,)) == [ROWS[:2]]


def test_they_are_rearranged_unmade(index):
    found = index.search_vectors([[1, 0], [0, 1]], k=4)
    order = np.array([[1, 0, -1], [3, 2, 1]])
    other = found.rearranged(order)
    assert is_unmade(found)
    assert is_unmade(other)
    assert other.counts.tolist() == [2, 3]
    assert other.ids.tolist() == [["b", "a", None], ["a", "b", "c"]]
    assert other.metadata.tolist() == [[ROWS[1], ROWS[0], None], [ROWS[0], ROWS[1], ROWS[2]]]
    made = Matches(found.ids, found.similarities, found.metadata, found.counts, found.sources)
    again = made.rearranged(order)
    assert again.metadata.tolist() == other.metadata.tolist()
    assert again.ids.tolist() == other.ids.tolist()
    np.testing.assert_array_equal(again.similarities, other.similarities)
    assert np.isnan(again.similarities[0, 2])


def test_without_fields_or_items():
    index = fs.VisualIndex(dim=2)
    assert index.search_vectors([[1, 0], [0, 1]]).metadata.shape == (2, 0)
    index.add_vectors(np.eye(2))
    assert index.search_vectors([1, 0], k=2).metadata.tolist() == [[{}, {}]]

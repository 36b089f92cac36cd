"""Filters that are asked again are not decided again, and never for rows that have changed."""

import numpy as np

import fashionsearch as fs
from fashionsearch.index.engines import kept
from fashionsearch.index.filters import OneOf


def flags(*values):
    return lambda: np.array(values, dtype=bool)


def test_a_filter_is_decided_once_and_kinds_are_told_apart():
    last = kept.LastKept()
    one = last.of(OneOf("n", (1,)), flags(1, 0, 1))
    assert one.slots.tolist() == [0, 2]
    assert last.of(OneOf("n", (1,)), flags(0, 0, 0)) is one
    for other in (True, 1.0, "1"):
        assert last.of(OneOf("n", (other,)), flags(0, 1, 0)).slots.tolist() == [1]
    last.clear()
    assert last.of(OneOf("n", (1,)), flags(0, 0, 0)).slots.tolist() == []


def test_only_a_few_are_remembered(monkeypatch):
    monkeypatch.setattr(kept, "_MOST_BYTES", 100)
    last = kept.LastKept()
    for number in range(20):
        last.of(OneOf("n", (number,)), flags(*[1] * 10))
        assert last._bytes <= 100
    assert len(last._held) == 1
    large = last.of(OneOf("n", (99,)), flags(*[1] * 1000))
    assert last.of(OneOf("n", (99,)), flags(0)) is large


def test_changes_are_seen_by_a_filter_that_was_asked_before():
    index = fs.VisualIndex(dim=2)
    index.add_vectors([[1, 0], [0, 1]], ids=["a", "b"], metadata={"colour": ["red", "blue"]})
    red = {"where": {"colour": "red"}}
    assert index.search_vectors([1, 0], **red).ids.tolist() == [["a", None]]
    index.update("b", {"colour": "red"})
    assert index.search_vectors([1, 0], **red).ids.tolist() == [["a", "b"]]
    index.add_vectors([[1, 1]], ids=["c"], metadata={"colour": ["red"]})
    assert index.search_vectors([1, 0], **red).ids.tolist() == [["a", "c", "b"]]
    index.remove("a")
    assert index.search_vectors([1, 0], **red).ids.tolist() == [["c", "b"]]
    assert index.facets("colour", where={"colour": "red"}) == {"red": 2}


def test_how_deep_to_look_is_learned_and_doubted():
    rows = kept.Kept(np.arange(1000) < 100)
    assert rows.depth(1000) == 10
    for _ in range(50):
        rows.learn(np.array([2.0]), 1000)
    assert 1.9 < rows.depth(1000) < 2.1
    rows.learn(np.full(1000, 5.0), 1000)
    assert 4.9 < rows.depth(1000) < 5.1
    rows.learn(np.array([400.0]), 1000)  # one that looked in vain
    assert rows.depth(1000) < 15
    for _ in range(1000):
        rows.forget(1000)
    assert 9.9 < rows.depth(1000) < 10.1


def test_few_vectors_of_a_filter_that_is_asked_for_again_lie_side_by_side():
    last, vectors = kept.LastKept(), np.arange(40, dtype=np.float32).reshape(10, 4)
    condition = OneOf("a", (1,))
    flags = np.arange(10) % 3 == 0
    first = last.of(condition, lambda: flags)
    assert not first.gathers(4)
    before = first.bytes
    again = last.of(condition, lambda: flags)
    assert again is first
    assert again.gathers(4)
    assert not again.gathers(10**6)  # too many bytes
    rows, norms = again.gathered(vectors, vectors[:, 0])
    np.testing.assert_array_equal(rows, vectors[flags])
    np.testing.assert_array_equal(norms, vectors[flags, 0])
    assert again.bytes > before

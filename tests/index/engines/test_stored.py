"""A store as files, and what is none."""

import numpy as np
import pytest

from fashionsearch import errors
from fashionsearch.index.engines.room import Room
from fashionsearch.index.engines.store import Store
from fashionsearch.index.engines.stored import from_files, to_files
from fashionsearch.index.rows import Rows


@pytest.fixture
def files():
    store = Store(2)
    rows = Rows(["a", "b"], np.array([[1, 0], [0, 2]], np.float32), [{"n": 1}, {}], [None, "b.jpg"])
    store.publish(store.adding(rows))
    return to_files(store)


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_store_comes_back(files, on_disk):
    again = from_files(*files, Room(on_disk=on_disk))
    rows = again.fetch(["a", "b"])
    assert rows.vectors.tolist() == [[1, 0], [0, 2]]
    assert list(rows.metadata) == [{"n": 1}, {}]
    assert list(rows.sources) == [None, "b.jpg"]
    assert again.norms.tolist() == [1, 2]


def test_two_threads_may_end_with_the_blocks_at_once(files):
    store = from_files(*files, Room())

    class Blocks:
        is_verified = True

        def verify(self, slots):
            store._blocks = None  # another thread was faster

    store._blocks = Blocks()
    assert store.touched(np.array([1])).shape == (2, 2)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("dim", 3, "shape"),
        ("dim", "2", "shape"),
        ("ids", ["a"], "shape"),
        ("ids", ["a", 3], "another kind"),
        ("ids", ["a", "a"], "twice"),
        ("sources", [1, None], "sources"),
        ("fields", [{"name": 3, "values": [1]}], "names"),
        ("fields", [{"name": "n", "values": [[1]]}], "values of the field 'n'"),
        ("fields", [{"name": "n", "values": []}], "values of the field 'n'"),
    ],
)
def test_what_is_no_store_is_refused(files, name, value, told):
    arrays, content = files
    with pytest.raises(errors.CorruptFileError, match=told):
        from_files(arrays, {**content, name: value}, Room())

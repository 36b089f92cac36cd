"""The database of an opened index: what it asks SQLite, and what it counts."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index import journal

VECTORS = np.random.default_rng(0).normal(size=(1200, 4)).astype(np.float32)


@pytest.fixture
def index(tmp_path):
    with fs.VisualIndex.open(tmp_path / "catalogue", dim=4, progress=False) as index:
        index.add_vectors(VECTORS, metadata=[{"n": n} for n in range(len(VECTORS))])
        yield index


def test_what_changed_is_found_without_reading_all_rows(index):
    asked = f"EXPLAIN QUERY PLAN {journal._CHANGED}"
    plan = index._engine._journal._connection.execute(asked, (1,)).fetchall()
    assert any("USING COVERING INDEX by_change" in step for *_, step in plan), plan
    assert not any(step.startswith("SCAN") for *_, step in plan), plan


def test_rows_come_in_the_order_of_their_first_insertion(index):
    index.add_vectors(VECTORS[:5], ids=[700, 3, 900, 2, 1100])
    since = index._engine.at.change - 1
    changed = [item for rows in index._engine._journal.rows(since) for item in rows.ids]
    assert changed == [2, 3, 700, 900, 1100]
    assert [item for rows in index._engine._journal.rows() for item in rows.ids] == list(range(len(VECTORS)))


@pytest.mark.parametrize(
    "damage", ["DELETE FROM items WHERE place = 7", "UPDATE items SET change = 0 WHERE place = 7"]
)
def test_a_change_whose_row_is_another_is_damage(index, monkeypatch, damage):
    engine = index._engine
    index.add_vectors(VECTORS[:3], ids=[5, 6, 7])  # in the places 6 to 8
    since, found = engine.at.change - 1, journal.Journal._read

    def read(self, query, values):
        self._connection.execute(damage)
        try:
            return found(self, query, values)
        finally:
            self._connection.rollback()

    monkeypatch.setattr(journal.Journal, "_read", read)
    monkeypatch.setattr(journal, "rows_of", lambda records, dim: records)  # whose digests are another matter
    with pytest.raises(errors.CorruptFileError, match="changes"):
        list(engine._journal.rows(since))


def test_rows_that_are_replaced_or_removed_are_counted_once(index):
    index.add_vectors(VECTORS[:1100], ids=range(600, 1700))  # half are there
    index.remove(list(range(50, 1250)))
    head = index._engine._journal.head()
    assert head.count == len(index) == 500
    index._engine._journal.check()

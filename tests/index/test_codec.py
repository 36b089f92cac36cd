"""Rows as records: what is written is read, and what isn't is told."""

import numpy as np
import pytest

from fashionsearch.index.codec import digest, record_of, rows_of, text
from fashionsearch.index.rows import Rows

ROWS = Rows(
    ["a\udc80", "ß"],
    np.array([[1, 2.5], [-1e-30, 3e10]], np.float32),
    [{"n": 2**70, "x": 0.1, "t": True, "none": None}, {"é\x00": "\U0001f45f"}],
    [None, "photos/ü.jpg"],
)


def test_what_is_written_is_read():
    records = [record_of(ROWS, place, 7) for place in range(2)]
    assert all(record[0].isascii() and record[2].isascii() for record in records)
    rows = rows_of(records, 2)
    assert (list(rows.ids), list(rows.metadata), list(rows.sources)) == (
        ROWS.ids,
        ROWS.metadata,
        ROWS.sources,
    )
    np.testing.assert_array_equal(rows.vectors, ROWS.vectors)


@pytest.mark.parametrize("place", range(6))
def test_a_record_that_was_changed_anywhere_is_told(place):
    record = list(record_of(ROWS, 0, 7))
    others = ('"b"', record[1][::-1], "{}", '"x"', 8, b"0" * 16)
    record[place] = others[place]
    with pytest.raises(ValueError, match="isn't what was written"):
        rows_of([tuple(record)], 2)


def test_a_digest_tells_where_one_part_ends():
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(1) == digest("1")
    assert text({"a": 1}) == '{"a":1}'

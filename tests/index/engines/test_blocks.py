"""Blocks of mapped vectors: verified when they are touched, and no sooner."""

from pathlib import Path

import numpy as np
import pytest

from fashionsearch import errors
from fashionsearch.index.engines import blocks

VECTORS = np.random.default_rng(0).normal(size=(2 * blocks.ROWS + 10, 3)).astype(np.float32)


def test_what_was_written_is_verified_block_by_block():
    found = blocks.Blocks(VECTORS, blocks.digests(VECTORS), Path("vectors"))
    assert not found.is_verified
    found.verify(np.array([0, 5]))
    found.verify(np.array([2 * blocks.ROWS]))
    assert not found.is_verified
    found.verify()
    assert found.is_verified


def test_a_block_that_differs_is_an_error_once_it_is_touched():
    other = VECTORS.copy()
    other[blocks.ROWS + 7, 1] += 1
    found = blocks.Blocks(other, blocks.digests(VECTORS), Path("vectors"))
    found.verify(np.array([3, 2 * blocks.ROWS + 9]))
    for _ in range(2):
        with pytest.raises(blocks.DamagedBlockError, match="vectors from 4,096 on"):
            found.verify(np.array([blocks.ROWS]))
    with pytest.raises(blocks.DamagedBlockError):
        found.verify()


def test_other_digests_than_blocks_are_an_error():
    digests = blocks.digests(VECTORS)
    for wrong in (digests[:-1], digests[:, :8], digests.astype(np.int64)):
        with pytest.raises(errors.CorruptFileError, match="other blocks"):
            blocks.Blocks(VECTORS, wrong, Path("vectors"))


def test_nothing_has_no_blocks():
    empty = np.zeros((0, 3), np.float32)
    assert blocks.Blocks(empty, blocks.digests(empty), Path("vectors")).is_verified

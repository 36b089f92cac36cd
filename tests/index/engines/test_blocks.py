"""Blocks of mapped vectors: verified when they are touched, and no sooner."""

import os

import numpy as np
import pytest

from fashionsearch import errors, storage
from fashionsearch.index.engines import blocks

VECTORS = np.random.default_rng(0).normal(size=(2 * blocks.ROWS + 10, 3)).astype(np.float32)


def made(tmp_path, vectors, digests):
    """Return the blocks of vectors in a file."""
    path = tmp_path / "vectors"
    path.write_bytes(vectors.tobytes())
    with path.open("rb") as file:
        return blocks.Blocks(storage.Mapped(file), vectors.shape, digests, path)


@pytest.mark.parametrize("piece", [1000, 2**18])
def test_what_was_written_is_verified_block_by_block(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(blocks, "_PIECE", piece)
    found = made(tmp_path, VECTORS, blocks.digests(VECTORS))
    assert not found.is_verified
    found.verify(np.array([0, 5]))
    found.verify(np.array([2 * blocks.ROWS]))
    assert not found.is_verified
    found.verify()
    assert found.is_verified


@pytest.mark.parametrize("piece", [1000, 2**18])
def test_a_block_that_differs_is_an_error_once_it_is_touched(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(blocks, "_PIECE", piece)
    other = VECTORS.copy()
    other[blocks.ROWS + 7, 1] += 1
    found = made(tmp_path, other, blocks.digests(VECTORS))
    found.verify(np.array([3, 2 * blocks.ROWS + 9]))
    for _ in range(2):
        with pytest.raises(blocks.DamagedBlockError, match="vectors from 4,096 on"):
            found.verify(np.array([blocks.ROWS]))
    with pytest.raises(blocks.DamagedBlockError):
        found.verify()


def test_whoever_verifies_all_comes_towards_a_search(tmp_path, monkeypatch):
    found, read = made(tmp_path, VECTORS, blocks.digests(VECTORS)), []
    source = storage.Mapped.read
    monkeypatch.setattr(
        storage.Mapped,
        "read",
        lambda self, start, end: (read.append(start // (12 * blocks.ROWS)), source(self, start, end))[1],
    )
    found.verify(np.array([0]))
    found.verify()
    assert read == [0, 2, 1]


def test_other_digests_than_blocks_are_an_error(tmp_path):
    digests = blocks.digests(VECTORS)
    for wrong in (digests[:-1], digests[:, :8], digests.astype(np.int64)):
        with pytest.raises(errors.CorruptFileError, match="other blocks"):
            made(tmp_path, VECTORS, wrong)


def test_nothing_has_no_blocks(tmp_path):
    empty = np.zeros((0, 3), np.float32)
    assert made(tmp_path, empty, blocks.digests(empty)).is_verified


@pytest.mark.skipif(os.name == "nt", reason="Windows cuts off no file that is mapped")
@pytest.mark.parametrize("verified", [False, True])
def test_a_file_that_was_cut_off_is_an_error_and_no_end_of_the_process(tmp_path, verified):
    found = made(tmp_path, VECTORS, blocks.digests(VECTORS))
    if verified:
        found.verify()
    os.truncate(tmp_path / "vectors", 100)
    with pytest.raises(blocks.DamagedBlockError, match=r"vectors can't be read any more: it has 100 bytes"):
        found.verify(np.array([0]))


def test_a_block_that_the_disk_can_not_give_is_an_error(tmp_path, monkeypatch):
    found = made(tmp_path, VECTORS, blocks.digests(VECTORS))

    def failing(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", failing)
    with pytest.raises(blocks.DamagedBlockError, match="Input/output error"):
        found.verify(np.array([0]))

"""Vectors in memory and in files without names."""

import errno
import os

import numpy as np
import pytest

from fashionsearch import errors
from fashionsearch.index.engines.room import Room


def test_a_file_is_gone_with_its_array(tmp_path):
    array = Room(on_disk=True, folder=tmp_path).array(100, 8)
    array[:] = 1
    assert isinstance(array, np.memmap)
    assert list(tmp_path.iterdir()) == []
    assert Room(on_disk=True, folder=tmp_path).array(0, 8).shape == (0, 8)
    assert not isinstance(Room().array(3, 2), np.memmap)


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(errors.StorageError, match=r"no room for 3,200 bytes.*No space left"):
        Room(on_disk=True, folder=tmp_path).array(100, 8)

"""Changes that another process makes: here two sides in one, over a socket."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch.service.changes import ChangesHere, ChangesThere, write_for_others
from fashionsearch.service.failures import RefusedError
from fashionsearch.service.rooms import Room


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with fs.VisualIndex.open(tmp_path / "index", dim=2, progress=False) as index:
        index.add_vectors([[1, 0], [0, 1]], ids=[1, 2], metadata={"colour": ["red", "blue"]})
    return tmp_path / "index"


def test_a_change_is_answered_after_it_is_kept_and_can_be_read(folder: Path, tmp_path: Path) -> None:
    async def both() -> None:
        room, address = Room(2, 10), str(tmp_path / "writer")
        writer = fs.VisualIndex.open(folder, progress=False)
        reader = fs.VisualIndex.open(folder, read_only=True, progress=False)
        stop, ready = asyncio.Event(), asyncio.Event()
        writing = asyncio.create_task(write_for_others(address, ChangesHere(writer, room), stop, ready.set))
        await ready.wait()
        there = ChangesThere(address, reader, room)
        vector = np.array([0.5, 0.25], np.float32)
        assert await there.put(9, vector, {"colour": "grün", "price": 1.5, "sold": None}) == (9, 3)
        assert reader.get(9).metadata == {"colour": "grün", "price": 1.5, "sold": None}
        assert np.array_equal(reader.get(9).vector, vector)
        assert await there.put(None, vector, {}) == (10, 4)
        assert await there.update(9, {"colour": "red"}) == 4
        assert reader.get(9).metadata["colour"] == "red"
        assert await there.remove(10) == 3
        assert 10 not in reader
        for wrong, status in (
            (there.remove(10), 404),
            (there.update(10, {"a": 1}), 404),
            (there.put("a", vector, {}), 422),
        ):
            with pytest.raises(RefusedError) as told:
                await wrong
            assert told.value.status == status
            assert str(folder) not in told.value.message
        together = await asyncio.gather(*(there.put(100 + number, vector, {}) for number in range(8)))
        assert sorted(item for item, _ in together) == list(range(100, 108))
        stop.set()
        await writing
        with pytest.raises(RefusedError) as told:
            await there.remove(9)
        assert (told.value.status, told.value.headers["retry-after"]) == (503, "1")
        room.close()
        reader.close()
        writer.close()

    asyncio.run(both())


def test_a_change_that_is_kept_is_told_so_by_a_busy_worker_too(folder: Path, tmp_path: Path) -> None:
    async def both() -> None:
        room, busy, address = Room(1, 10), Room(1, 0), str(tmp_path / "writer")
        writer = fs.VisualIndex.open(folder, progress=False)
        reader = fs.VisualIndex.open(folder, read_only=True, progress=False)
        stop, ready = asyncio.Event(), asyncio.Event()
        writing = asyncio.create_task(write_for_others(address, ChangesHere(writer, room), stop, ready.set))
        await ready.wait()
        vector, long = np.ones(2, np.float32), "\U0001f457" * 2_000_000  # 24 MB as JSON writes it
        assert await ChangesThere(address, reader, busy).put(9, vector, {"title": long}) == (9, 3)
        assert writer.get(9).metadata["title"] == long
        stop.set()
        await writing
        for each in (room, busy, reader, writer):
            each.close()

    asyncio.run(both())

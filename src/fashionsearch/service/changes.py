"""Changes of the index: made in this process, or handed to the one that writes and answered after its commit."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index import VisualIndex
from fashionsearch.index.rows import Id
from fashionsearch.service.failures import RefusedError, no_room, refused
from fashionsearch.service.rooms import Room


class Changes(Protocol):
    """What changes an index; each call returns how many items there are once the change is kept."""

    async def put(
        self, item: Id | None, vector: NDArray[np.float32], metadata: Mapping[str, Any]
    ) -> tuple[Id, int]:
        """Add an item, or put it in the place of the one of its id; None is the next number. Returns its id too."""
        ...

    async def update(self, item: Id, metadata: Mapping[str, Any]) -> int:
        """Set fields of an item's metadata."""
        ...

    async def remove(self, item: Id) -> int:
        """Remove an item."""
        ...


class ChangesHere:
    """Changes in this process, one at a time.

    Args:
        index: opened for writing, or on a server.
        room: a thread that changes it.
    """

    def __init__(self, index: VisualIndex, room: Room) -> None:
        self._index, self._room = index, room

    async def put(
        self, item: Id | None, vector: NDArray[np.float32], metadata: Mapping[str, Any]
    ) -> tuple[Id, int]:
        """Add an item, or put it in the place of the one of its id."""

        def change() -> tuple[Id, int]:
            ids = None if item is None else [item]
            done = self._index.add_vectors([vector], ids=ids, metadata=[dict(metadata)])
            return done.ids[0], len(self._index)

        return await self._room.run(change)

    async def update(self, item: Id, metadata: Mapping[str, Any]) -> int:
        """Set fields of an item's metadata."""

        def change() -> int:
            self._index.update(item, dict(metadata))
            return len(self._index)

        return await self._room.run(change)

    async def remove(self, item: Id) -> int:
        """Remove an item."""

        def change() -> int:
            self._index.remove([item])
            return len(self._index)

        return await self._room.run(change)


class ChangesThere:
    """Changes by the process that writes.

    Args:
        address: path of its socket.
        index: of this process, which only reads, and has the change too when a call returns.
        room: threads that read it.
    """

    def __init__(self, address: str, index: VisualIndex, room: Room) -> None:
        self._address, self._index, self._room = address, index, room

    async def put(
        self, item: Id | None, vector: NDArray[np.float32], metadata: Mapping[str, Any]
    ) -> tuple[Id, int]:
        """Add an item, or put it in the place of the one of its id."""
        coded = base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()
        done = await self._asked({"do": "put", "id": item, "vector": coded, "metadata": metadata})
        return done["id"], done["items"]

    async def update(self, item: Id, metadata: Mapping[str, Any]) -> int:
        """Set fields of an item's metadata."""
        return int((await self._asked({"do": "update", "id": item, "metadata": metadata}))["items"])

    async def remove(self, item: Id) -> int:
        """Remove an item."""
        return int((await self._asked({"do": "remove", "id": item}))["items"])

    async def _asked(self, message: Mapping[str, Any]) -> dict[str, Any]:
        try:
            reader, writer = await asyncio.open_unix_connection(self._address)
        except OSError:
            raise no_room("the process that writes is not there at the moment; come again") from None
        try:
            await _send(writer, message)
            answer = await _received(reader)
        except (OSError, EOFError):
            raise no_room(
                "the process that writes went away; whether the item was changed can be read"
            ) from None
        finally:
            writer.close()
        if "error" in answer:
            raise RefusedError(answer["status"], answer["error"], headers=answer["headers"])
        # It is kept: whoever were told otherwise, because this process can't look at the moment, would make it once more.
        with contextlib.suppress(RefusedError, errors.FashionSearchError):
            await self._room.run(self._index.refresh)
        return answer


async def write_for_others(
    address: str, changes: ChangesHere, stop: asyncio.Event, started: Callable[[], object]
) -> None:
    """Make the changes that other processes ask for, until told to stop; those that were begun are ended.

    Args:
        address: path of the socket that is made, which only this user may open.
        changes: makes them.
        stop: is set to end.
        started: is called once they are made.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            message = await _received(reader)
            await _send(writer, await _changed(changes, message))
        writer.close()

    server = await asyncio.start_unix_server(answer, address)
    os.chmod(address, 0o600)  # noqa: PTH101 (the folder is private as well)
    started()
    async with server:
        await stop.wait()


async def _changed(changes: ChangesHere, message: Mapping[str, Any]) -> dict[str, Any]:
    try:
        item = message["id"]
        if message["do"] == "put":
            vector = np.frombuffer(base64.b64decode(message["vector"]), "<f4")
            name, items = await changes.put(item, vector, message["metadata"])
            return {"id": name, "items": items}
        if message["do"] == "update":
            return {"items": await changes.update(item, message["metadata"])}
        return {"items": await changes.remove(item)}
    except (errors.FashionSearchError, RefusedError, MemoryError) as error:
        told = refused(error) or no_room()
        return {"status": told.status, "error": told.message, "headers": dict(told.headers)}


async def _send(writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
    content = json.dumps(message).encode()
    writer.write(len(content).to_bytes(4, "big") + content)
    await writer.drain()


async def _received(reader: asyncio.StreamReader) -> dict[str, Any]:
    length = int.from_bytes(await reader.readexactly(4), "big")
    message: dict[str, Any] = json.loads(await reader.readexactly(length))
    return message

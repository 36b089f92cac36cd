import asyncio
import threading

import pytest

from fashionsearch.service.failures import RefusedError
from fashionsearch.service.rooms import Room


def test_too_much_at_once_is_told_to_come_again() -> None:
    go = threading.Event()

    async def ask() -> list[object]:
        room = Room(1, 2)
        held = [asyncio.create_task(room.run(lambda: go.wait(5))) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(RefusedError) as told:
            await room.run(lambda: 1)
        held[1].cancel()  # whose client has gone: it counts until it is done
        await asyncio.sleep(0.01)
        go.set()
        await held[0]
        await asyncio.sleep(0.05)
        found = await room.run(lambda: 3)
        room.close()
        return [told.value.status, told.value.headers, found]

    assert asyncio.run(ask()) == [503, {"retry-after": "1"}, 3]

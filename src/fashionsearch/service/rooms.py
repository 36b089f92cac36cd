"""Threads for what takes longer than an event loop may stand still, and never more work than they get done in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from fashionsearch.service.failures import no_room

Result = TypeVar("Result")


class Room:
    """A few threads, and a bound on what waits for them.

    Args:
        threads: how many.
        most: jobs that wait or are done at once. One whose client has gone counts until it is done.

    Examples:
        >>> room = Room(1, 8)
        >>> asyncio.run(room.run(lambda: 1 + 1))
        2
        >>> room.close()
    """

    def __init__(self, threads: int, most: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fashionsearch-room")
        self._most, self._held = most, 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """Return what a function returns, called in a thread.

        Raises:
            RefusedError: if too much waits already; 503.
        """
        if self._held >= self._most:
            raise no_room()
        loop = asyncio.get_running_loop()
        self._held += 1
        future: Future[Result] = self._pool.submit(work)
        future.add_done_callback(lambda _: self._tell(loop))
        return await asyncio.wrap_future(future)

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        self._held -= 1

    def close(self) -> None:
        """Let the threads end, once they are done with what they are at."""
        self._pool.shutdown(wait=False, cancel_futures=True)

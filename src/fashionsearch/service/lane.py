"""Photos of requests that come at the same time go through the network in one pass.

One batch is worked on at a time, in a thread. What comes meanwhile is the next batch, so a busy service takes large ones, and
an idle one keeps nobody waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Job = TypeVar("Job")

_MOST = 32  # jobs of a batch: what a CPU's caches hold
_SHARE, _LONGEST = 0.1, 0.02  # of a batch's time, and seconds at most, that its clients have to come again


class Lane(Generic[Job]):
    """Gathers jobs into batches.

    Args:
        work: does a batch, in a thread; returns for each job what it gives, or the error that it raises.
        observe: is told the size of each batch.

    Examples:
        >>> async def double() -> list[object]:
        ...     lane = Lane(lambda jobs: [2 * job for job in jobs])
        ...     try:
        ...         return await asyncio.gather(lane.done(1), lane.done(2))
        ...     finally:
        ...         lane.close()
        >>> asyncio.run(double())
        [2, 4]
    """

    def __init__(
        self,
        work: Callable[[list[Job]], Sequence[object]],
        observe: Callable[[int], object] = lambda size: None,
    ) -> None:
        self._work, self._observe = work, observe
        self._waiting: deque[tuple[Job, asyncio.Future[object]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fashionsearch-lane")
        self._running: asyncio.Task[None] | None = None
        self._enough = asyncio.Event()
        self._before, self._took = 0, 0.0  # jobs of the batch before, and its seconds

    async def done(self, job: Job) -> object:
        """Return what a job gives, or raise the error that it raises."""
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if len(self._waiting) >= self._before:
            self._enough.set()
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))]
                batch = [each for each in batch if not each[1].done()]  # who waits no longer is gone
                if not batch:
                    continue
                self._observe(len(batch))
                jobs = [job for job, _ in batch]
                outcomes: Sequence[object]
                began = loop.time()
                try:
                    outcomes = await loop.run_in_executor(self._thread, self._work, jobs)
                except Exception as error:
                    outcomes = [error] * len(batch)
                for (_, future), outcome in zip(batch, outcomes, strict=True):
                    if future.done():
                        continue
                    if isinstance(outcome, BaseException):
                        future.set_exception(outcome)
                    else:
                        future.set_result(outcome)
                self._before, self._took = len(batch), loop.time() - began
                await self._gather()
        finally:
            self._running, self._before = None, 0

    async def _gather(self) -> None:
        """Wait a moment for clients that were answered together, so that they go on together."""
        if self._before < 2 or len(self._waiting) >= self._before:
            return
        self._enough.clear()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._enough.wait(), min(_LONGEST, _SHARE * self._took))

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

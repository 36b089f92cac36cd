import asyncio
import threading
import time

import pytest

from fashionsearch.service.lane import Lane


def test_what_comes_while_a_batch_is_done_is_the_next() -> None:
    batches: list[list[int]] = []

    def work(jobs: list[int]) -> list[int]:
        batches.append(jobs)
        time.sleep(0.05)
        return [-job for job in jobs]

    async def ask() -> list[object]:
        lane = Lane(work)
        first = asyncio.create_task(lane.done(0))
        await asyncio.sleep(0.02)  # the lane is at work by then
        rest = await asyncio.gather(*(lane.done(number) for number in range(1, 8)))
        lane.close()
        return [await first, *rest]

    assert asyncio.run(ask()) == [-number for number in range(8)]
    assert batches == [[0], [1, 2, 3, 4, 5, 6, 7]]


def test_an_idle_lane_keeps_nobody_waiting() -> None:
    async def ask() -> float:
        lane = Lane(lambda jobs: jobs)
        await lane.done(0)
        began = time.perf_counter()
        for number in range(20):
            await lane.done(number)
        lane.close()
        return time.perf_counter() - began

    assert asyncio.run(ask()) < 1


def test_clients_that_were_answered_together_go_on_together() -> None:
    sizes: list[int] = []

    def work(jobs: list[int]) -> list[int]:
        time.sleep(0.1)
        return jobs

    async def client(lane: Lane[int]) -> None:
        for number in range(3):
            await lane.done(number)
            await asyncio.sleep(0.001)

    async def ask() -> None:
        lane = Lane(work, sizes.append)
        await asyncio.gather(*(client(lane) for _ in range(6)))
        lane.close()

    asyncio.run(ask())
    assert max(sizes) == 6
    assert len(sizes) <= 5


def test_an_error_reaches_whose_job_it_is() -> None:
    async def ask() -> list[object]:
        lane = Lane(lambda jobs: [ValueError(str(job)) if job == 2 else job for job in jobs])
        found = await asyncio.gather(*(lane.done(job) for job in range(4)), return_exceptions=True)
        lane.close()
        return found

    assert [repr(each) for each in asyncio.run(ask())] == ["0", "1", "ValueError('2')", "3"]


def test_an_error_of_the_work_reaches_all_of_a_batch() -> None:
    def work(jobs: list[int]) -> list[int]:
        raise OSError("the disk")

    async def ask() -> list[object]:
        lane = Lane(work)
        found = await asyncio.gather(lane.done(1), lane.done(2), return_exceptions=True)
        lane.close()
        return found

    assert [type(each) for each in asyncio.run(ask())] == [OSError, OSError]


def test_who_waits_no_longer_costs_nothing() -> None:
    done: list[int] = []
    go = threading.Event()

    def work(jobs: list[int]) -> list[int]:
        go.wait(5)
        done.extend(jobs)
        return jobs

    async def ask() -> None:
        lane = Lane(work)
        first = asyncio.create_task(lane.done(1))
        await asyncio.sleep(0.02)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(lane.done(2), 0.05)
        go.set()
        await asyncio.gather(first, lane.done(3))
        lane.close()

    asyncio.run(ask())
    assert done == [1, 3]

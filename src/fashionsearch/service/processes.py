"""The processes of a service: one that does all; or several that answer, beside one that writes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from fashionsearch import errors
from fashionsearch.runtimes.onnx import THREADS
from fashionsearch.service.settings import Settings

_GRACE = 5.0  # seconds beyond those that requests have, before a process is ended by force
_RESTARTS, _WITHIN = 5, 60.0  # so many processes may end by themselves in so many seconds


def serve(settings: Settings, tell: Callable[[str], object]) -> None:
    """Serve a catalogue until the process is told to stop, by SIGTERM or SIGINT.

    Args:
        settings: of the service.
        tell: is given the address, once requests are answered.

    Raises:
        StorageError: if the catalogue can't be opened.
        InputError: if it can't be changed and is to be, or nothing can listen at the address.
    """
    from fashionsearch.service.server import address_of, bind, serve_here

    with contextlib.closing(bind(settings)) as listening:
        address = address_of(listening, settings.host)
        if settings.workers == 1:
            serve_here(settings, listening, lambda: tell(address))
            return
        with tempfile.TemporaryDirectory(prefix="fashionsearch-") as folder:
            metrics = Path(folder, "metrics")
            metrics.mkdir()
            shared = dataclasses.replace(settings, metrics_folder=str(metrics))
            if _has_one_writer(settings):
                shared = dataclasses.replace(shared, writer=str(Path(folder, "writer")))
            _Processes(shared, listening).run(lambda: tell(address))


def _has_one_writer(settings: Settings) -> bool:
    """Return whether a process of its own is to write, and not each worker: of an index in a folder."""
    from fashionsearch.service.catalogue import check_changeable

    if not settings.writable or not check_changeable(settings.folder):
        return False
    if sys.platform == "win32":
        raise errors.InputError(
            "several workers of a catalogue that is changed need Unix; leave --workers out"
        )
    return True


class _Processes:
    """The parent of workers, and of the writer if there is one.

    Args:
        settings: of each worker.
        listening: the socket that they share.
    """

    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        self._settings, self._listening = settings, listening
        # A forked process would have the parent's locks and none of its threads.
        self._context = multiprocessing.get_context("spawn")
        self._stopped = threading.Event()
        self._writer: BaseProcess | None = None
        self._workers: list[BaseProcess] = []
        self._ended: list[float] = []  # when processes ended that were to go on

    def run(self, started: Callable[[], object]) -> None:
        """Start all, keep them going, and stop them at a signal."""
        with self._signals():
            try:
                if self._settings.writer is not None:
                    self._writer = self._start(_write, None)
                for _ in range(self._settings.workers):
                    if not self._stopped.is_set():
                        self._workers.append(self._start(_work, self._listening))
                if not self._stopped.is_set():
                    started()
                while not self._stopped.is_set():
                    self._keep_going()
            finally:
                self._stop()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        names = signal.SIGINT, signal.SIGTERM
        before = {name: signal.signal(name, lambda *_: self._stopped.set()) for name in names}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    def _start(self, target: Callable[..., None], listening: socket.socket | None) -> BaseProcess:
        """Start a process, and return it once it answers.

        Raises:
            StorageError: what it couldn't do.
        """
        here, there = self._context.Pipe(duplex=False)
        process = self._context.Process(target=target, args=(self._settings, there, listening))
        process.start()
        there.close()
        while not here.poll(0.1):
            if self._stopped.is_set() or not process.is_alive():
                break
        try:
            told = here.recv() if here.poll(0.1) else None
        except EOFError:
            told = None
        if told is None and self._stopped.is_set():
            return process
        if told != "":
            process.join(_GRACE)
            raise errors.StorageError(
                told or "a process of the service ended before it answered; its log says why"
            )
        return process

    def _keep_going(self) -> None:
        """Wait a moment; start those again that have ended."""
        everybody = [each for each in (self._writer, *self._workers) if each is not None]
        wait([each.sentinel for each in everybody], 0.2)
        if self._stopped.is_set():
            return
        ended = [each for each in everybody if not each.is_alive()]
        if not ended:
            return
        now = time.monotonic()
        self._ended = [when for when in self._ended if now - when < _WITHIN] + [now] * len(ended)
        if len(self._ended) > _RESTARTS:
            raise errors.StorageError(
                f"{len(self._ended)} processes of the service ended within {_WITHIN:g} s; its log says why"
            )
        if self._writer in ended:
            self._writer = self._start(_write, None)
        for place, worker in enumerate(self._workers):
            if worker in ended:
                self._forget(worker)
                self._workers[place] = self._start(_work, self._listening)

    def _forget(self, worker: BaseProcess) -> None:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid, self._settings.metrics_folder)  # type: ignore[no-untyped-call]

    def _stop(self) -> None:
        """Stop those that answer, and then the one that writes for them."""
        seconds = self._settings.limits.stop_seconds + _GRACE
        for group in (self._workers, [] if self._writer is None else [self._writer]):
            for each in group:
                each.terminate()
            until = time.monotonic() + seconds
            for each in group:
                each.join(max(0.0, until - time.monotonic()))
                if each.is_alive():
                    each.kill()
                    each.join()


def threads_each(workers: int) -> int:
    """Return how many threads each of so many workers is to run its network in, so that together they have one a core."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, here // workers)


def _work(settings: Settings, told: Connection, listening: socket.socket) -> None:
    """Answer requests: a worker."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(settings.metrics_folder)  # read by what is imported now
    os.environ.setdefault(THREADS, str(threads_each(settings.workers)))
    from fashionsearch.service.server import serve_here

    with _telling(told):
        serve_here(settings, listening, lambda: told.send(""))


def _write(settings: Settings, told: Connection, _: Any) -> None:
    """Make the changes that workers ask for."""
    with _telling(told):
        asyncio.run(_writing(settings, told))


async def _writing(settings: Settings, told: Connection) -> None:
    from fashionsearch.service.catalogue import open_index
    from fashionsearch.service.changes import ChangesHere, write_for_others
    from fashionsearch.service.rooms import Room

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # of the terminal, for all: the parent says when
    address = Path(settings.writer or "")
    address.unlink(missing_ok=True)  # of a writer that ended
    room = Room(1, settings.workers * settings.limits.concurrency)
    index = open_index(settings.folder, writing=True, embeds=False, rebuild=settings.rebuild)
    try:
        await write_for_others(str(address), ChangesHere(index, room), stop, lambda: told.send(""))
    finally:
        await room.run(index.close)
        room.close()


@contextlib.contextmanager
def _telling(told: Connection) -> Iterator[None]:
    """Tell the parent what can't be done, and end when it has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        yield
    except errors.FashionSearchError as error:
        with contextlib.suppress(OSError):
            told.send(str(error))
        raise SystemExit(1) from None


def _end_with(parent: Any) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)

"""One process of the service: uvicorn, with limits in time that it lacks, around an opened catalogue."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fashionsearch import errors
from fashionsearch.runtimes.onnx import SPIN
from fashionsearch.service.settings import Limits, Settings

_BACKLOG = 512


def bind(settings: Settings) -> socket.socket:
    """Return a socket that listens where the settings say.

    Raises:
        InputError: if it can't.
    """
    listening = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # a client that reads nothing holds its answer no longer
            milliseconds = int(1000 * settings.limits.seconds)
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        if listening is not None:
            listening.close()
        raise errors.InputError(
            f"nothing can listen at {settings.host}, port {settings.port}: {error.strerror or error}; give another --port"
        ) from error
    listening.set_inheritable(True)
    return listening


def address_of(listening: socket.socket, host: str) -> str:
    """Return the address that a browser takes."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listening.getsockname()[1]}"


def serve_here(settings: Settings, listening: socket.socket, started: Callable[[], object]) -> None:
    """Open the catalogue and answer requests until the process is told to stop; those that were begun are answered.

    Args:
        settings: of the service.
        listening: the socket, which is closed at the end.
        started: is called once requests are answered.

    Raises:
        StorageError: if the catalogue can't be opened.
        InputError: if it can't be changed, and is to be.
        WeightsError: if there is no tagger of this name.
    """
    from fashionsearch.service.app import Service, make_app
    from fashionsearch.service.catalogue import Catalogue, open_index

    # A network's threads that wait spinning would take the processor from what reads and answers other requests.
    os.environ.setdefault(SPIN, "0")
    writing = settings.writable and settings.writer is None
    index = open_index(settings.folder, writing=writing, url=settings.url, rebuild=settings.rebuild)
    try:
        catalogue = Catalogue(index, settings.tagger)
        if settings.tagger is not None:
            _ = catalogue.tagger  # one that is not there is told now, and not to clients
        service = Service(settings, catalogue)
    except BaseException:
        index.close()
        raise
    # What a filter that fits nothing warns of is no business of the log.
    warnings.simplefilter("ignore", errors.DataWarning)
    run(make_app(service), settings.limits, listening, started)


def run(app: Any, limits: Limits, listening: socket.socket, started: Callable[[], object]) -> None:
    """Answer requests by an application until the process is told to stop."""
    config = uvicorn.Config(
        app,
        http=protocol_with(limits),
        ws="none",
        lifespan="on",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=max(1, round(limits.idle_seconds)),
        timeout_graceful_shutdown=max(1, round(limits.stop_seconds)),
    )
    _Server(config, started).run(sockets=[listening])


class _Server(uvicorn.Server):
    """A server that ends quietly at a signal, and says when it has begun."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], object]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._tell()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises the signal again at the end, and a service that was told to stop has not failed.
        loop = asyncio.get_running_loop()
        names = [signal.SIGINT, signal.SIGTERM]
        try:
            for name in names:
                loop.add_signal_handler(name, self.handle_exit, name, None)
        except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
            with super().capture_signals():
                yield
            return
        try:
            yield
        finally:
            for name in names:
                loop.remove_signal_handler(name)


def protocol_with(limits: Limits) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with limits on the head of a request, on what else is no body, and on connections."""

    class Protocol(HttpToolsProtocol):
        _patience: asyncio.TimerHandle | None = None
        _head = 0  # bytes since a request or a piece of its body was complete: of a head, or of trailers

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect_head()
            if len(self.connections) > limits.connections:
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._patience is None and (self.cycle is None or self.cycle.response_complete):
                self._expect_head()
            self._head += len(data)
            super().data_received(data)
            if self._head > 2 * limits.head:
                self.transport.abort()

        def on_headers_complete(self) -> None:
            self._stop_waiting()
            self._head = 0
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self._head = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            self._head = 0
            super().on_message_complete()

        def timeout_keep_alive_handler(self) -> None:
            # Whoever has not read an answer until now will not read it.
            self.transport.abort()

        def _expect_head(self) -> None:
            self._head = 0
            self._patience = self.loop.call_later(limits.head_seconds, self._cut)

        def _stop_waiting(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

        def _cut(self) -> None:
            self._patience = None
            if not self.transport.is_closing():
                self.transport.abort()

    return Protocol

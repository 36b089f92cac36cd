"""uvicorn around an application: slow clients, large bodies, and what is no HTTP."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import raw_http
from raw_http import Hostile

import fashionsearch as fs
from fashionsearch.service.app import Service, make_app
from fashionsearch.service.catalogue import Catalogue
from fashionsearch.service.server import address_of, bind, protocol_with, run
from fashionsearch.service.settings import Limits, Settings

LIMITS = Limits(
    body=100_000, head_seconds=0.5, body_seconds=1.0, idle_seconds=1, stop_seconds=2, connections=40
)
JSON = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def place(saved: Path) -> Iterator[tuple[str, int]]:
    """Where a service listens, in a thread of this process."""
    settings = Settings(saved, port=0, limits=LIMITS)
    service = Service(settings, Catalogue(fs.VisualIndex.load(saved, progress=False)))
    ready, listening = threading.Event(), bind(settings)
    held: list[object] = []

    def tell() -> None:
        ready.set()

    with pytest.MonkeyPatch.context() as patch:
        import uvicorn

        begin = uvicorn.Server.__init__

        def remembered(self: uvicorn.Server, config: uvicorn.Config) -> None:
            held.append(self)
            begin(self, config)

        patch.setattr(uvicorn.Server, "__init__", remembered)
        thread = threading.Thread(target=run, args=(make_app(service), LIMITS, listening, tell))
        thread.start()
        assert ready.wait(20)
    yield listening.getsockname()
    held[0].should_exit = True
    thread.join(20)
    assert not thread.is_alive()
    listening.close()


def timed(place: tuple[str, int], request: Hostile) -> tuple[raw_http.Answer, float]:
    began = time.monotonic()
    return raw_http.send(place, request), time.monotonic() - began


def test_a_slow_head_is_cut(place: tuple[str, int]) -> None:
    answer, seconds = timed(
        place, Hostile("", b"GET /health HTTP/1.1\r\nX: ", lambda: (b"a" for _ in range(50)), 0.1, True)
    )
    assert answer.status is None or answer.status == 400
    assert seconds < 5
    with socket.create_connection(place) as silent:
        silent.settimeout(5)
        assert silent.recv(1) == b""


def test_a_slow_body_is_told_so(place: tuple[str, int]) -> None:
    answer, seconds = timed(
        place, Hostile("", JSON + b"Content-Length: 99", lambda: (b" " for _ in range(50)), 0.1)
    )
    assert answer.status == 408
    assert seconds < 5


@pytest.mark.parametrize("length", [b"Content-Length: 1073741824", b"Transfer-Encoding: chunked"])
def test_a_gigabyte_is_cut_off_while_it_comes(place: tuple[str, int], length: bytes) -> None:
    piece = b"10000\r\n" + b" " * 2**16 + b"\r\n" if b"chunked" in length else b" " * 2**16
    answer, seconds = timed(place, Hostile("", JSON + length, lambda: (piece for _ in range(2**14))))
    assert answer.status == 413
    assert answer.sent < 200 * 2**20
    assert seconds < 10


def test_a_client_that_waits_to_be_asked_is_told_before_it_sends(place: tuple[str, int]) -> None:
    with socket.create_connection(place, timeout=5) as connection:
        connection.sendall(JSON + b"Content-Length: 1073741824\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_one_connection_takes_many_requests(place: tuple[str, int]) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(place, timeout=5) as connection:
        connection.sendall(3 * request)
        found = b""
        while found.count(b'{"status":"ok"}') < 3:
            found += connection.recv(10_000)
        time.sleep(0.7)  # longer than a head may take, and shorter than a connection may be idle
        connection.sendall(request)
        assert b"200 OK" in connection.recv(10_000)
        assert connection.recv(1) == b""  # idle for too long


def test_an_endless_head_is_cut(place: tuple[str, int]) -> None:
    answer, _ = timed(
        place,
        Hostile("", b"GET / HTTP/1.1\r\nX: ", lambda: (b"a" * 10_000 for _ in range(1000)), is_open=True),
    )
    assert answer.sent < 5_000_000


@pytest.mark.parametrize("piece", [100 * b"X: y\r\n", b"X: " + b"y" * 600, b"1;" + b"y" * 600])
def test_endless_trailers_and_what_else_is_no_body_are_cut(place: tuple[str, int], piece: bytes) -> None:
    with socket.create_connection(place, timeout=5) as connection:
        connection.sendall(JSON + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
        time.sleep(0.1)  # or the trailers would come with the head
        sent = 0
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"" if piece.startswith(b"1") else b"0\r\n")
            while sent < 20_000_000:
                sent += connection.send(piece)
    assert sent < 20_000_000


def test_connections_have_a_limit(place: tuple[str, int]) -> None:
    with contextlib.ExitStack() as stack:
        held = [
            stack.enter_context(socket.create_connection(place, timeout=5))
            for _ in range(LIMITS.connections + 5)
        ]
        refused = 0
        for connection in held[-5:]:
            with contextlib.suppress(OSError):
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                refused += connection.recv(100) == b""
                continue
            refused += 1
        assert refused >= 4


def test_a_port_that_is_taken_is_told(place: tuple[str, int]) -> None:
    with pytest.raises(fs.errors.InputError, match="nothing can listen"):
        bind(Settings(Path(), port=place[1]))


def test_addresses(place: tuple[str, int]) -> None:
    listening = bind(Settings(Path(), port=0))
    port = listening.getsockname()[1]
    assert address_of(listening, "127.0.0.1") == f"http://127.0.0.1:{port}"
    assert address_of(listening, "::1") == f"http://[::1]:{port}"
    listening.close()
    assert protocol_with(LIMITS).__name__ == "Protocol"

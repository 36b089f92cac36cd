"""A small catalogue, and clients of it: in this process, and of a service in another."""

import asyncio
import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch.service.app import Service, make_app
from fashionsearch.service.catalogue import Catalogue
from fashionsearch.service.settings import Settings


class Client:
    """Asks an ASGI application, from threads if need be."""

    def __init__(self, app: object) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        transport = httpx.ASGITransport(app=app)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30)

    def __call__(self, method: str, path: str, **rest: object) -> httpx.Response:
        asking = self._client.request(method, path, **rest)
        return asyncio.run_coroutine_threadsafe(asking, self._loop).result(30)

    def post(self, path: str, fields: object, **rest: object) -> httpx.Response:
        return self("POST", path, json=fields, **rest)

    def together(self, *asked: tuple[str, str, dict[str, object]]) -> list[httpx.Response]:
        async def ask() -> list[httpx.Response]:
            return await asyncio.gather(
                *(self._client.request(method, path, **rest) for method, path, rest in asked)
            )

        return asyncio.run_coroutine_threadsafe(ask(), self._loop).result(30)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@pytest.fixture(scope="session")
def garments() -> "fs.datasets.Table":
    return fs.datasets.make_catalogue(24, seed=0)


@pytest.fixture(scope="session")
def encoded(garments: "fs.datasets.Table") -> list[bytes]:
    """The garments as files."""
    found = []
    for pixels in garments.images:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
        found.append(buffer.getvalue())
    return found


@pytest.fixture(scope="session")
def saved(
    tmp_path_factory: pytest.TempPathFactory, garments: "fs.datasets.Table", encoded: list[bytes]
) -> Path:
    """The folder of a saved index of the garments, whose ids are texts."""
    folder = tmp_path_factory.mktemp("catalogues") / "saved"
    index = fs.VisualIndex("fashion", progress=False)
    fields = {name: garments[name] for name in ("baseColour", "masterCategory", "productDisplayName")}
    index.add(encoded, ids=[f"item/{number}" for number in range(len(encoded))], metadata=fields)
    index.save(folder)
    return folder


@pytest.fixture
def opened(tmp_path: Path, saved: Path) -> Path:
    """The folder of an opened index of the garments."""
    folder = tmp_path / "opened"
    shutil.copytree(saved, folder)
    fs.VisualIndex.open(folder, progress=False).close()
    return folder


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an opened index of three vectors, whose ids are numbers."""
    folder = tmp_path_factory.mktemp("catalogues") / "vectors"
    with fs.VisualIndex.open(folder, dim=2, progress=False) as index:
        index.add_vectors(
            [[1, 0], [0, 1], [1, 1]], ids=[1, 2, 3], metadata={"colour": ["red", "blue", "red"]}
        )
    return folder


Make = Callable[..., Client]


def _made(
    saved: Path, index: fs.VisualIndex, tagger: str | None, **settings: object
) -> tuple[Client, Service]:
    service = Service(Settings(saved, **settings), Catalogue(index, tagger))
    return Client(make_app(service)), service


@pytest.fixture(scope="session")
def shared(saved: Path) -> Iterator[Client]:
    """A client of the saved index, which nobody changes."""
    made, service = _made(saved, fs.VisualIndex.load(saved, progress=False), None)
    yield made
    made.close()
    service.close()


@pytest.fixture
def client(saved: Path, shared: Client) -> Iterator[Make]:
    """A function that returns a client of an index: `client(index, writable=True, …)`, by default of the saved one."""
    made: list[tuple[Client, Service]] = []

    def make(index: fs.VisualIndex | None = None, tagger: str | None = None, **settings: object) -> Client:
        if index is None and tagger is None and not settings:
            return shared
        made.append(_made(saved, index or fs.VisualIndex.load(saved, progress=False), tagger, **settings))
        return made[-1][0]

    yield make
    for each, service in made:
        each.close()
        service.close()


@contextlib.contextmanager
def _serving(folder: Path, *options: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve a folder by the command, in a process of its own; give its address."""
    command = [sys.executable, "-m", "fashionsearch", "serve", str(folder), "--port", "0", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        line = process.stdout.readline()
        assert " is served at " in line, line + process.stderr.read()
        yield line.split(" is served at ")[1].split(",")[0], process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            process.stdout.close()
            process.stderr.close()


@pytest.fixture(scope="session")
def serving() -> Callable[..., contextlib.AbstractContextManager[tuple[str, subprocess.Popen[str]]]]:
    """A function that serves a folder in a process of its own: `with serving(folder, "--writable") as (address, process)`."""
    return _serving

"""A hub on this machine, and a client whose cache and token are the test's own."""

import socket
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from harness.hub_server import HubServer
from huggingface_hub import constants

import fashionsearch as fs


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "hub-cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # which the stand-in doesn't speak
    for variable in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    return cache


@pytest.fixture
def hub(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setenv("HF_TOKEN", server.TOKEN)
        yield server
        huggingface_hub.close_session()


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch):
    """Return a function that from then on makes every socket, and every look-up of a name, an error."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    def forbid() -> None:
        monkeypatch.setattr(socket, "socket", refuse)
        monkeypatch.setattr(socket, "create_connection", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)

    return forbid


@pytest.fixture(scope="session")
def table() -> "fs.datasets.Table":
    return fs.datasets.make_catalogue(40, size=(24, 24), seed=0)


@pytest.fixture(scope="session")
def classifier(table) -> fs.Classifier:
    made = fs.Classifier("pixel_grid", random_state=0, progress=False)
    return made.fit(table.images, table["masterCategory"])

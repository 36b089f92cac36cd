"""What holds an index's rows and finds the nearest: one engine a file, and a line in the table below."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial

from fashionsearch import errors
from fashionsearch.index.engines import faiss, hnsw
from fashionsearch.index.engines.base import Engine, Graph, Settings
from fashionsearch.index.engines.local import LocalEngine
from fashionsearch.index.rows import check_choice

GRAPHS: Mapping[str, type[Graph] | None] = {
    "hnsw": hnsw.HnswGraph,
    "faiss": faiss.FaissGraph,
    "exact": None,
}
_MADE_OF = {"hnsw": (hnsw, "hnswlib"), "faiss": (faiss, "faiss-cpu")}
ENGINES: Mapping[str, Callable[[Settings], Engine]] = {
    name: partial(LocalEngine, graph_type=graph) for name, graph in GRAPHS.items()
}


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

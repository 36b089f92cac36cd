"""The files of a saved index.

```text
index.json            parameters, and by what the encoder is recognised
vectors.safetensors   vectors, and for each metadata field the number of each item's value
items.json            ids, sources, and the values of each metadata field
graph.hnsw            the graph, if there is one, and graph.safetensors, its label of each item
encoder/              the backbone, if the encoder has one
```
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from fashionsearch import errors, storage
from fashionsearch.embedding import Embeds
from fashionsearch.index import encoders
from fashionsearch.index.engines.hnsw import HnswGraph
from fashionsearch.index.engines.store import Store


def writers(
    store: Store,
    graph: HnswGraph | None,
    encoder: Embeds | None,
    parameters: Mapping[str, Any],
    next_id: int,
) -> dict[str, storage.Writer]:
    """Return what `storage.save` needs to keep an index."""
    arrays, content = store.to_files()
    config: dict[str, Any] = {
        **parameters,
        "dim": store.dim,
        "next_id": next_id,
        "encoder": None if encoder is None else encoders.identity(encoder),
        "graph": None if graph is None else graph.settings(),
    }
    files = {"vectors.safetensors": storage.write_arrays(arrays), "items.json": storage.write_json(content)}
    if graph is not None:
        labels = graph.labels(list(store.slot_of.values()))
        files["graph.safetensors"] = storage.write_arrays({"labels": labels})
        files["graph.hnsw"] = graph.write
    if encoder is not None:
        files |= encoders.writers(encoder)
    files["index.json"] = storage.write_json(config)
    return files


def read_store(saved: storage.Saved) -> Store:
    """Return the rows of a saved index."""
    return Store.from_files(saved.arrays("vectors.safetensors"), saved.json("items.json"))


def read_graph(saved: storage.Saved, settings: Mapping[str, Any], fresh: HnswGraph) -> HnswGraph | None:
    """Fill a fresh graph from the saved one, or return None, with a warning, if that is damaged."""
    try:
        labels = saved.arrays("graph.safetensors")["labels"]
        fresh.read(saved.path("graph.hnsw"), labels, **settings)
    except (errors.StorageError, RuntimeError) as error:
        warnings.warn(f"building the graph again: {error}", errors.DataWarning, stacklevel=3)
        return None
    return fresh

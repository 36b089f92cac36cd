"""A saved index: its folder written and read.

```text
index.json            parameters, by what the encoder is recognised, and the engine's notes
encoder/              the encoder, if there is one that can be saved
learned….json         what was learned beside the items, and learned….safetensors

by the local engine:
vectors.safetensors   vectors, and for each metadata field the number of each item's value
items.json            ids, sources, and the values of each metadata field
graph.hnsw            the graph, if there is one (graph.faiss by that engine), and graph.safetensors, its label of each item
```
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fashionsearch import errors, storage
from fashionsearch.encoder import Embeds
from fashionsearch.index import encoders, learned
from fashionsearch.index.engines.base import DAMAGE, Engine

# What older versions did not save, and had.
_OLDER: dict[str, Any] = {"storage": "float32", "recall": None, "background": "keep"}
PARAMETERS = ("dim", "metric", "engine", "m", "ef_construction", "ef_search", "random_state", *_OLDER)


def write(
    folder: storage.PathLike,
    engine: Engine,
    encoder: Embeds | None,
    parameters: Mapping[str, Any],
    parts: Mapping[str, learned.Part],
    *,
    onnx: bool = True,
) -> None:
    """Write an index's folder, atomically; whoever calls holds `engine.changing`. `onnx` is as for `VisualIndex.save`.

    Raises:
        StorageError: if the folder holds something else or can't be written.
    """
    files, notes = engine.writers()
    config: dict[str, Any] = {
        **parameters,
        **notes,
        "encoder": None if encoder is None else encoders.identity(encoder),
    }
    if encoder is not None:
        files |= encoders.writers(encoder, onnx=onnx)
    if parts:
        files |= learned.writers(parts)
    files["index.json"] = storage.write_json(config)
    storage.save(folder, "index", files)


@contextlib.contextmanager
def reading(
    folder: storage.PathLike, kind: str | None = "index"
) -> Iterator[tuple[storage.Saved, dict[str, Any]]]:
    """Give a saved index's files and the content of `index.json`; what doesn't fit them is damage, and named.

    Raises:
        StorageError: if the folder holds no index.
        CorruptFileError: if what is read inside the block isn't what `write` writes.
    """
    saved = storage.open_saved(folder, kind)
    try:
        config = saved.json("index.json")
        if not isinstance(config, dict):
            raise TypeError("index.json holds no mapping")
        yield saved, config
    except errors.CorruptFileError as error:
        if str(saved.folder) in str(error):
            raise
        raise errors.CorruptFileError(f"{saved.folder}: {error}") from error
    except errors.FashionSearchError:
        raise
    except DAMAGE as error:
        raise errors.CorruptFileError(
            f"{Path(folder)} is damaged: {type(error).__name__}: {str(error)[:200]}; restore it from a copy"
        ) from error


def unread_encoder(folder: storage.PathLike) -> encoders.Unread | None:
    """Return the encoder of a saved or opened index without reading it, for a change that embeds nothing.

    Raises:
        StorageError: if the folder holds nothing saved.
    """
    with reading(folder, None) as (saved, config):
        expected = config["encoder"]
        return None if expected is None else encoders.Unread(saved, expected)


def parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an index was made with, of what its folder notes."""
    return {
        name: config[name] if name not in _OLDER else config.get(name, _OLDER[name]) for name in PARAMETERS
    }

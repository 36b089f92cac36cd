"""How a classifier lies in a folder.

```text
classifier.json       options, classes and their type, the history of the fit
head.safetensors      weight (c, dim) and bias (c,) float32
backbone.*            the network, as `Backbone` writes it
```
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import storage
from fashionsearch.backbones import Backbone
from fashionsearch.device import Execution
from fashionsearch.estimator import ImageEstimator
from fashionsearch.results import History
from fashionsearch.saved_options import options_to_json, read_history
from fashionsearch.tagging.head import LinearHead

_TYPES = re.compile(r"[<>|=]?(b1|[iuf][1248]|U\d{1,6}|O)")


def writers(
    estimator: ImageEstimator, head: LinearHead, classes: NDArray[Any], history: History, prefix: str
) -> dict[str, storage.Writer]:
    """Return what `storage.save` needs to keep a classifier."""
    config = {
        "options": options_to_json(estimator),
        **classes_to_json(classes),
        "history": [dict(row) for row in history.rows],
    }
    return {
        f"{prefix}classifier.json": storage.write_json(config),
        f"{prefix}head.safetensors": storage.write_arrays({"weight": head.weight, "bias": head.bias}),
        **estimator.backbone_.writers(prefix),
    }


def read(
    saved: storage.Saved, config: storage.Fields, execution: Execution, prefix: str
) -> tuple[Backbone, LinearHead, NDArray[Any], History]:
    """Return a classifier's backbone, head, classes and history.

    Args:
        saved: the folder.
        config: its `classifier.json`.
        execution: how the network is to be run.
        prefix: of the files.

    Raises:
        CorruptFileError: if a file isn't what was saved, or they contradict each other.
    """
    classes, history = read_classes(config), read_history(config)
    backbone = Backbone.read(saved, execution, prefix)
    expected = {
        "weight": (np.float32, (len(classes), backbone.dim)),
        "bias": (np.float32, (len(classes),)),
    }
    head = saved.arrays(f"{prefix}head.safetensors", expected)
    return backbone, LinearHead(head["weight"], head["bias"]), classes, history


def classes_to_json(classes: NDArray[Any]) -> dict[str, Any]:
    """Return classes and their type as JSON holds them."""
    return {
        "classes": classes.tolist(),
        "classes_kind": classes.dtype.kind,
        "classes_dtype": classes.dtype.str,
    }


def read_classes(config: storage.Fields) -> NDArray[Any]:
    """Return what `classes_to_json` wrote.

    Raises:
        CorruptFileError: if they are not two or more different classes of one type.
    """
    given = config.items_of("classes", (str, int, float))
    if len({type(label) for label in given}) != 1 or len(set(given)) != len(given) or len(given) < 2:
        config.refuse("classes", "two or more different classes of one type")
    kind = config.text("classes_kind")
    # Version 0.1 wrote the kind alone.
    dtype = config.text("classes_dtype") if "classes_dtype" in config else "O" if kind == "O" else None
    if dtype is not None and not _TYPES.fullmatch(dtype):
        config.refuse("classes_dtype", "a NumPy dtype of text, numbers or booleans")
    try:
        classes = np.array(given, dtype=dtype)
    except (ValueError, TypeError, OverflowError):
        classes = np.array([])
    if classes.tolist() != given:
        config.refuse("classes", f"classes of the dtype {dtype}")
    return classes

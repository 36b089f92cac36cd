"""How a tagger lies in a folder.

```text
tagger.json             options, attributes with their classes, taxonomy, what is familiar, the history of the fit
heads.safetensors       of each attribute, by its number: weight (c, dim), bias (c,) and the class above (c,)
examples.safetensors    embeddings (n, dim) float16 that were learned from, and their class indices (n, attributes);
                        likewise corrected (m, dim) and corrections (m, attributes)
backbone.*              the network with its projection, as `Backbone` writes it
```
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.backbones import Backbone
from fashionsearch.device import Execution
from fashionsearch.estimator import ImageEstimator
from fashionsearch.pretrained import Shipped
from fashionsearch.results import History
from fashionsearch.saved_options import options_to_json, read_history
from fashionsearch.storage.arrays import Expected, check_arrays
from fashionsearch.tagging.head import LinearHead
from fashionsearch.tagging.snapshot import classes_to_json, read_classes
from fashionsearch.tagging.state import State, unit
from fashionsearch.tagging.taxonomy import Taxonomy, circle
from fashionsearch.tagging.zero_shot import UnitEncoder
from fashionsearch.targets import UNKNOWN, Targets

EXAMPLE_SCALE = 360  # of embeddings of length 1 in int8, whose range then ends at a third


def writers(
    estimator: ImageEstimator, state: State, history: History, prefix: str
) -> dict[str, storage.Writer]:
    """Return what `storage.save` needs to keep a tagger, nothing if its encoder can't be kept."""
    network = estimator.backbone_.writers(prefix)
    if not network:
        return {}
    config = {
        "options": options_to_json(estimator),
        "attributes": [
            {"name": name, **classes_to_json(classes)} for name, classes in state.targets.classes.items()
        ],
        "parents": dict(state.taxonomy.parents),
        "familiar": state.familiar,
        "history": [dict(row) for row in history.rows],
    }
    heads: dict[str, NDArray[Any]] = {}
    for number, (name, head) in enumerate(state.heads.items()):
        heads[f"weight.{number}"], heads[f"bias.{number}"] = head.weight, head.bias
        if name in state.taxonomy.parents:
            heads[f"above.{number}"] = state.taxonomy.above[name]
    examples: dict[str, NDArray[Any]] = {
        "embeddings": state.embeddings.astype(np.float16),
        "indices": state.targets.indices.astype(np.int32),
        "corrected": state.corrected,
        "corrections": state.corrections.astype(np.int32),
    }
    return {
        f"{prefix}tagger.json": storage.write_json(config),
        f"{prefix}heads.safetensors": storage.write_arrays(heads),
        f"{prefix}examples.safetensors": storage.write_arrays(examples),
        **network,
    }


def read(
    saved: storage.Saved, config: storage.Fields, execution: Execution, prefix: str
) -> tuple[Backbone, State, History]:
    """Return a tagger's backbone, what it has learned beside it, and its history.

    Args:
        saved: the folder.
        config: its `tagger.json`.
        execution: how the network is to be run.
        prefix: of the files.

    Raises:
        CorruptFileError: if a file isn't what was saved, or they contradict each other.
    """
    backbone = Backbone.read(saved, execution, prefix)
    state = read_state(
        config,
        backbone.dim,
        lambda expected: saved.arrays(f"{prefix}heads.safetensors", expected),
        lambda expected: saved.arrays(f"{prefix}examples.safetensors", expected),
    )
    if not state.has_learned:  # by words alone: a tagger asks for no more than an encoder
        backbone = cast("Backbone", UnitEncoder(backbone))
    return backbone, state, read_history(config)


def read_shipped(shipped: Shipped) -> State:
    """Return what a shipped network learned beside its weights, in full precision.

    Raises:
        CorruptFileError: if its arrays contradict its header.
    """
    config, arrays = shipped.config, shipped.arrays
    dim = config.whole("dim", least=1)
    none = np.zeros((0, dim), np.float32)
    given = {
        **arrays,
        **{name: array.astype(np.float32) for name, array in arrays.items() if array.dtype == np.float16},
        "embeddings": (arrays["examples"] / np.float32(EXAMPLE_SCALE)).astype(np.float16),
        "indices": arrays["indices"].astype(np.int32),
        "corrected": none,
        "corrections": np.zeros((0, arrays["indices"].shape[1]), np.int32),
    }

    def checked(expected: Expected) -> dict[str, NDArray[Any]]:
        check_arrays(given, expected)
        return given

    try:
        return read_state(config, dim, checked, checked)
    except ValueError as error:
        raise errors.CorruptFileError(
            f"{config.path} is damaged: {error}; install fashionsearch again"
        ) from error


def read_state(
    config: storage.Fields,
    dim: int,
    read_heads: Callable[[Expected], dict[str, NDArray[Any]]],
    read_examples: Callable[[Expected], dict[str, NDArray[Any]]],
) -> State:
    """Return what a tagger has learned, from the fields and arrays that hold it.

    Args:
        config: attributes with their classes, taxonomy and what is familiar.
        dim: length of an embedding.
        read_heads: returns the heads' arrays, having checked that they are as expected.
        read_examples: likewise those of what was learned from.

    Raises:
        CorruptFileError: if they contradict each other.
    """
    attributes = config.items_of("attributes", storage.Fields)
    classes = {attribute.text("name"): read_classes(attribute) for attribute in attributes}
    if not classes or len(classes) != len(attributes):
        config.refuse("attributes", "one attribute or more, of different names")
    names = list(classes)
    parents = _read_parents(config, names)
    expected: dict[str, Any] = {}
    for number, name in enumerate(names):
        c = len(classes[name])
        expected[f"weight.{number}"] = (np.float32, (c, dim))
        expected[f"bias.{number}"] = (np.float32, (c,))
        if name in parents:
            expected[f"above.{number}"] = (np.int64, (c,))
    arrays = read_heads(expected)
    above = {name: arrays[f"above.{names.index(name)}"] for name in parents}
    kept = read_examples(
        {
            "embeddings": (np.float16, ("n", dim)),
            "indices": (np.int32, ("n", len(names))),
            "corrected": (np.float32, ("m", dim)),
            "corrections": (np.int32, ("m", len(names))),
        }
    )
    indices, corrections = kept["indices"].astype(np.int64), kept["corrections"].astype(np.int64)
    sizes = np.array([len(classes[name]) for name in names])
    fits = all(_are_indices(links, len(classes[parents[name]])) for name, links in above.items())
    fits = fits and all(((each >= UNKNOWN) & (each < sizes)).all() for each in (indices, corrections))
    if not fits:
        config.refuse("attributes", "the classes that the arrays beside it speak of")
    heads = {
        name: LinearHead(arrays[f"weight.{number}"], arrays[f"bias.{number}"])
        for number, name in enumerate(names)
    }
    return State(
        heads,
        Taxonomy(parents, above),
        Targets(indices, classes),
        unit(kept["embeddings"]),
        config.number("familiar", least=-2, most=2),
        kept["corrected"],
        corrections,
    )


def _read_parents(config: storage.Fields, names: list[str]) -> dict[str, str]:
    fields = config.fields("parents")
    parents = {child: fields.text(child, among=names) for child in fields}
    if not parents.keys() <= set(names) or circle(parents):
        config.refuse("parents", "attributes below others, without a circle")
    return parents


def _are_indices(values: np.ndarray[Any, Any], classes: int) -> bool:
    return bool(((values >= UNKNOWN) & (values < classes)).all())

"""How an estimator's options and history lie in a folder, and how they are read again."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fashionsearch import errors

if TYPE_CHECKING:
    from fashionsearch import storage
    from fashionsearch.device import Execution
    from fashionsearch.estimator import ImageEstimator
    from fashionsearch.results import History


def options_to_json(estimator: ImageEstimator) -> dict[str, Any]:
    """Return the constructor's arguments as JSON holds them; of a `Backbone`, its name."""
    options = estimator.get_params()
    if not isinstance(estimator.backbone, str):
        options["backbone"] = estimator.backbone.name
    options["weights"] = None if estimator.weights is None else os.fspath(estimator.weights)
    for name in ("training", "metric"):
        if options.get(name) is not None:
            options[name] = options[name].to_dict()
    if isinstance(options.get("class_weight"), Mapping):
        options["class_weight"] = {
            "classes": list(options["class_weight"]),
            "weights": list(options["class_weight"].values()),
        }
    return options


_NONE = type(None)
_KINDS: Mapping[str, tuple[type, ...]] = {
    "backbone": (str,),
    "weights": (str, _NONE),
    "training": (dict, _NONE),
    "image_size": (int, list, _NONE),
    "resize": (str,),
    "class_weight": (str, dict, _NONE),
    "augmented_views": (int,),
    "latent_dim": (int,),
    "embedding_dim": (int,),
    "metric": (dict, _NONE),
    "taxonomy": (str, dict, _NONE),
    "perceptual": (int, float),
    "device": (str,),
    "precision": (str,),
    "runtime": (str,),
    "batch_size": (int, _NONE),
    "random_state": (int, _NONE),
    "progress": (int,),
}


def read_options(
    config: storage.Fields, estimator: type[ImageEstimator], execution: Execution
) -> dict[str, Any]:
    """Return the constructor's arguments from a saved file, with device and the like as they are now.

    Args:
        config: the file.
        estimator: whose constructor.
        execution: how the network is to be run here, which is not taken from the file.

    Raises:
        CorruptFileError: if they are not what `options_to_json` writes.
        StorageError: if a newer version wrote them.
    """
    saved, known = config.fields("options"), estimator._parameters()
    newer = sorted(saved.keys() - known.keys())
    if newer:
        raise errors.StorageError(
            f"{config.path} has the option {newer[0]!r:.60}, which this fashionsearch doesn't know; upgrade it"
        )
    options: dict[str, Any] = dict(saved)
    for option, value in saved.items():
        if not isinstance(value, _KINDS[option]):
            saved.refuse(option, " or ".join(kind.__name__ for kind in _KINDS[option]))
    if isinstance(options.get("image_size"), list):
        options["image_size"] = tuple(saved.items_of("image_size", int, length=2))
    if isinstance(options.get("class_weight"), dict):
        pairs = saved.fields("class_weight")
        names, weights = pairs.items_of("classes", (str, int, float)), pairs.items_of("weights", (int, float))
        if len(names) != len(weights):
            saved.refuse("class_weight", "a weight for each class")
        options["class_weight"] = dict(zip(names, weights, strict=True))
    for name in ("training", "metric"):
        if options.get(name) is not None:
            from fashionsearch.training import FineTuning, MetricLearning

            kind = FineTuning if name == "training" else MetricLearning
            try:
                options[name] = kind.from_dict(saved.fields(name))
            except (TypeError, ValueError, OverflowError) as error:
                saved.refuse(name, f"what {kind.__name__} takes ({error})")
    return {**options, **dataclasses.asdict(execution)}


def read_history(config: storage.Fields) -> History:
    """Return the history in a saved file.

    Raises:
        CorruptFileError: if it isn't rows with the same columns.
    """
    from fashionsearch.results import History

    rows = config.items_of("history", dict)
    if any(row.keys() != rows[0].keys() for row in rows):
        config.refuse("history", "a list of rows with the same columns")
    return History(tuple(dict(row) for row in rows))

"""Backbones read from verified folders, whatever they are part of: a tagger, an autoencoder or an index."""

from __future__ import annotations

from typing import Any

import safetensors.torch

from fashionsearch import errors, storage
from fashionsearch.backbones.backbone import Backbone
from fashionsearch.backbones.projection import Projected
from fashionsearch.backbones.registry import untrained_module
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes import Lowered


def read_backbone(saved: storage.Saved, *, options: dict[str, Any], prefix: str = "") -> Backbone:
    """Read a backbone from a verified folder, as part of another if there is a prefix."""
    config = saved.json(f"{prefix}backbone.json")
    preprocess = Preprocess.from_dict(config["preprocess"])
    try:
        module = untrained_module(config["name"], preprocess)
    except errors.UnknownBackboneError as error:
        raise errors.UnknownBackboneError(
            f"{saved.folder} was saved with backbone {config['name']!r}, which nobody has registered here; install its "
            "plug-in, or run the code that registers it, and load again"
        ) from error
    tensors = safetensors.torch.load(saved.content(f"{prefix}backbone.safetensors"))
    if config.get("projected"):
        shorter, dim = tensors["projection.weight"].shape
        module = Projected(module, dim, shorter)
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise errors.WeightsError(
            f"{saved.folder}: the saved weights don't fit backbone {config['name']!r} as it is defined now: {error}"
        ) from error
    lowered = None
    if config.get("lowered") is not None:
        int8 = config["lowered"]["precision"] == "int8"
        graph = saved.path(f"{prefix}backbone.int8.onnx").read_bytes() if int8 else None
        lowered = Lowered.from_dict(config["lowered"], graph)
    return Backbone(
        module, preprocess, name=config["name"], origin=config["origin"], lowered=lowered, **options
    )

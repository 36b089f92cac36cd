"""How a backbone lies in a folder, its own or that of what it is part of.

```text
backbone.json           name, origin, dim, preprocessing, and what is known of a lower precision
backbone.safetensors    the network's tensors, by name
backbone.int8.onnx      the network in int8, if that is how it runs
```
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fashionsearch import errors, storage
from fashionsearch.backbones.architectures import build_network
from fashionsearch.device import torch_defaults
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes import LowPrecision

if TYPE_CHECKING:
    from fashionsearch.backbones.backbone import Backbone


def writers(backbone: Backbone, prefix: str) -> dict[str, storage.Writer]:
    """Return what `storage.save` needs to keep a backbone."""
    import safetensors.torch
    import torch

    from fashionsearch.backbones.embedder import Embedder
    from fashionsearch.backbones.modules import Projected

    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in backbone.module.state_dict().items()
    }
    config = {
        "name": backbone.name,
        "origin": backbone.origin,
        "weights_sha256": backbone.weights_hash,
        "dim": backbone.dim,
        "projected": isinstance(backbone.module, Projected),
        "embedder": isinstance(backbone.module, Embedder),
        "preprocess": backbone.preprocess.to_dict(),
        "lowered": None if backbone.lowered is None else backbone.lowered.to_dict(),
    }
    files = {
        f"{prefix}backbone.json": storage.write_json(config),
        f"{prefix}backbone.safetensors": lambda path: path.write_bytes(safetensors.torch.save(tensors)),
    }
    if backbone.lowered is not None and backbone.lowered.graph is not None:
        files[f"{prefix}backbone.int8.onnx"] = storage.write_bytes(backbone.lowered.graph)
    return files


def read(saved: storage.Saved, prefix: str) -> dict[str, Any]:
    """Return the arguments of `Backbone` that are saved; how it runs is decided where it is read.

    Raises:
        UnknownBackboneError: if its architecture came from a plug-in that isn't installed.
        WeightsError: if the weights don't fit the architecture, or one is NaN or infinite.
        CorruptFileError: if the files aren't what was saved.
    """
    import safetensors.torch

    from fashionsearch.backbones.embedder import Embedder
    from fashionsearch.backbones.modules import Projected
    from fashionsearch.backbones.weights import check_finite

    config = saved.json(f"{prefix}backbone.json")
    name, dim = config.text("name"), config.whole("dim", least=1)
    try:
        preprocess = Preprocess.from_dict(config.fields("preprocess"))
    except errors.InputError as error:
        raise errors.CorruptFileError(f"{config.path}: {error}; restore it from a copy") from error
    lowered = None
    if config.get("lowered") is not None:
        int8 = config.fields("lowered").text("precision", among=("bf16", "int8")) == "int8"
        graph = saved.content(f"{prefix}backbone.int8.onnx") if int8 else None
        lowered = LowPrecision.from_dict(config["lowered"], graph)
    try:
        module = build_network(name, preprocess)
    except errors.UnknownBackboneError as error:
        raise errors.UnknownBackboneError(
            f"{saved.folder} was saved with backbone {name!r}, which nobody has registered here; install its "
            "plug-in, or run the code that registers it, and load again"
        ) from error
    with torch_defaults():
        try:
            tensors = safetensors.torch.load(saved.content(f"{prefix}backbone.safetensors"))
            if config.get("projected"):
                shorter, longer = tensors["projection.weight"].shape
                module = Projected(module, longer, shorter)
            if config.get("embedder"):
                network = module.features.module if isinstance(module, Embedder) else module
                module = Embedder.shaped_like(network, preprocess, tensors)
            module.load_state_dict(tensors)
        # What is no safetensors file, or holds something else, fails in many ways.
        except (safetensors.SafetensorError, RuntimeError, KeyError, ValueError) as error:
            raise errors.WeightsError(
                f"{saved.folder}: the saved weights don't fit backbone {name!r} as it is defined now: {error}"
            ) from error
    check_finite(module, os.fspath(saved.folder))
    return {
        "module": module,
        "preprocess": preprocess,
        "name": name,
        "origin": config["origin"],
        "lowered": lowered,
        "dim": dim,
    }

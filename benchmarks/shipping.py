"""Writes a trained tagger as the two files that ship in the wheel: weights in half precision, and a graph that reads them."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import safetensors.numpy
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import fashionsearch as fs
from fashionsearch.backbones.embedder import Embedder
from fashionsearch.backbones.weights import unfolded, weights_hash
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes.graph import to_onnx
from fashionsearch.runtimes.network import Network
from fashionsearch.tagging.snapshot import classes_to_json
from fashionsearch.tagging.tagger_snapshot import EXAMPLE_SCALE

_LARGEST = 8_000_000  # bytes of the file
_FEWEST = 64  # numbers below which an initializer stays in the graph
Array = np.ndarray[Any, Any]


def folded(embedder: Embedder) -> dict[str, Array]:
    """Return an embedder's weights with each batch normalisation folded into the convolution before it.

    What is left of a normalisation is its bias; the others of its tensors are those of one that changes nothing. The
    standardisation of the features is folded into the projection likewise.
    """
    tensors = {name: tensor.detach().double().cpu().numpy() for name, tensor in embedder.state_dict().items()}
    convolution = ""
    for name, layer in embedder.named_modules():
        if isinstance(layer, nn.Conv2d):
            convolution = name
        if isinstance(layer, nn.BatchNorm2d):
            scale = tensors.pop(f"{name}.weight") / np.sqrt(tensors.pop(f"{name}.running_var") + layer.eps)
            tensors[f"{convolution}.weight"] *= scale[:, None, None, None]
            tensors[f"{name}.bias"] -= tensors.pop(f"{name}.running_mean") * scale
            del tensors[f"{name}.num_batches_tracked"]
    mean, scale = tensors.pop("projection.mean"), tensors.pop("projection.scale")
    tensors["projection.output.weight"] *= scale
    tensors["projection.output.bias"] -= tensors["projection.output.weight"] @ mean
    return tensors


def ship(
    tagger: fs.Tagger, attributes: Sequence[str], learned: Array, figures: Mapping[str, Any], folder: Path
) -> None:
    """Write a tagger as it ships.

    Args:
        tagger: fitted, with a linear projection.
        attributes: those that ship.
        learned: (n,) uint64, digests of the photos it learned from.
        figures: what is to be known of it.
        folder: for `fashion.safetensors`, `fashion.onnx` and `shipped.json`.
    """
    state, embedder = tagger._state, cast("Embedder", tagger.backbone_.module)
    arrays: dict[str, Array] = {
        f"network.{name}": array.astype(np.float16) for name, array in folded(embedder).items()
    }
    for number, name in enumerate(attributes):
        head = state.heads[name]
        arrays[f"weight.{number}"] = head.weight.astype(np.float16)
        arrays[f"bias.{number}"] = head.bias.astype(np.float16)
        if name in state.taxonomy.parents:
            arrays[f"above.{number}"] = state.taxonomy.above[name].astype(np.int64)
    places = [list(state.heads).index(name) for name in attributes]
    indices = state.targets.indices[:, places]
    arrays["learned"] = np.unique(learned)
    # Weights in half precision are what the hash is of: so does a module that is made of them.
    half = {name: array.astype(np.float32) for name, array in arrays.items() if name.startswith("network.")}
    module = copy.deepcopy(embedder)
    tensors = {name.removeprefix("network."): torch.from_numpy(array) for name, array in half.items()}
    module.load_state_dict(unfolded(module, tensors), strict=False)
    config = {
        "version": 1,
        "dim": tagger.dim,
        "weights_sha256": weights_hash(module),
        "attributes": [{"name": name, **classes_to_json(state.targets.classes[name])} for name in attributes],
        "parents": {
            name: above for name, above in state.taxonomy.parents.items() if {name, above} <= set(attributes)
        },
        "familiar": state.familiar,
        "history": [dict(row) for row in tagger.history_.rows],
        "figures": dict(figures),
    }
    weights = folder / "fashion.safetensors"
    rest = _LARGEST - _size(arrays, config, weights)
    chosen = _examples(indices, rest // (tagger.dim + 2 * len(attributes)) - 8)
    embedded = np.rint(state.embeddings[chosen] * EXAMPLE_SCALE).clip(-127, 127)
    arrays["examples"], arrays["indices"] = embedded.astype(np.int8), indices[chosen].astype(np.int16)
    write_weights(weights, arrays, config)
    write_graph(folder / "fashion.onnx", module, tagger.backbone_.preprocess, weights)
    known: dict[str, Any] = {
        what: hashlib.sha256((folder / f"fashion.{kind}").read_bytes()).hexdigest()
        for what, kind in (("weights", "safetensors"), ("graph", "onnx"))
    }
    known |= {"network": config["weights_sha256"], "dim": tagger.dim}
    (folder / "shipped.json").write_text(json.dumps({"fashion": known}, indent=1) + "\n", encoding="utf-8")


def _size(arrays: Mapping[str, Array], config: Mapping[str, Any], path: Path) -> int:
    empty = {"examples": np.zeros((0, 1), np.int8), "indices": np.zeros((0, 1), np.int16)}
    write_weights(path, {**arrays, **empty}, config)
    return path.stat().st_size


def _examples(indices: Array, n: int) -> Array:
    """Return the places of photos that stand for all: of each class of the first attribute some, by the root of its size."""
    rng, column = np.random.default_rng(0), indices[:, 0]
    counts = np.bincount(column[column >= 0])
    shares = np.zeros(len(column))
    known = column >= 0
    shares[known] = 1 / np.sqrt(counts[column[known]])
    return np.sort(
        rng.choice(len(column), min(n, int((shares > 0).sum())), replace=False, p=shares / shares.sum())
    )


def write_weights(path: Path, arrays: Mapping[str, Array], config: Mapping[str, Any]) -> None:
    """Write arrays and what JSON holds into one safetensors file."""
    text = json.dumps(config, ensure_ascii=True, separators=(",", ":"))
    # safetensors writes memory as it lies, whatever the strides.
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    path.write_bytes(safetensors.numpy.save(plain, {"config": text}))


class _Answers(nn.Module):
    """Embeddings with their familiarity behind them, from pixels."""

    def __init__(self, embedder: Embedder, preprocess: Preprocess) -> None:
        super().__init__()
        self.network = Network(embedder, preprocess)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        photos = self.network.normalised(pixels.permute(0, 3, 1, 2).to(torch.float32) / 255)
        return self.network.module.with_familiarity(photos)


def write_graph(path: Path, embedder: Embedder, preprocess: Preprocess, weights: Path) -> None:
    """Write the network from (n, H, W, 3) uint8 "pixels" to "embeddings" and "familiar" as a graph without its weights.

    Args:
        path: of the graph; beside it lie the weights.
        embedder: as it was read from the weights.
        preprocess: of its images.
        weights: the safetensors file.
    """
    pixels = torch.zeros((2, *preprocess.image_size, 3), dtype=torch.uint8)
    model = onnx.load_from_string(
        to_onnx(_Answers(embedder, preprocess), pixels, outputs=["familiar"], dynamic=["n"])
    )
    graph = model.graph
    places = _places(weights)
    kept, casts = [], []
    for initializer in graph.initializer:
        array = numpy_helper.to_array(initializer)
        found = None
        if array.dtype == np.float32 and array.size >= _FEWEST:
            found = places.get((array.astype(np.float16).tobytes(), array.size))
        if found is None:
            kept.append(initializer)
            continue
        half = TensorProto(name=f"{initializer.name}_half", data_type=TensorProto.FLOAT16, dims=array.shape)
        half.data_location = TensorProto.EXTERNAL
        for key, value in zip(("location", "offset", "length"), (weights.name, *found), strict=True):
            half.external_data.add(key=key, value=str(value))
        kept.append(half)
        casts.append(helper.make_node("Cast", [half.name], [initializer.name], to=TensorProto.FLOAT))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    _add_embeddings(graph)
    _make_short(model)
    path.write_bytes(model.SerializeToString())


def _places(weights: Path) -> dict[tuple[bytes, int], tuple[int, int]]:
    """Return the bytes of each half-precision array of a file, and their number -> where in the file they are."""
    content = weights.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F16":
            low, high = entry["data_offsets"]
            data = content[start + low : start + high]
            found[data, (high - low) // 2] = start + low, high - low
    return found


def _add_embeddings(graph: Any) -> None:
    """Give what is joined last, the embeddings, out too."""
    last = next(node for node in graph.node if "familiar" in node.output)
    if last.op_type != "Concat":
        raise SystemExit(f"the graph ends in {last.op_type}, and Concat was expected")
    before = last.input[0]
    for node in graph.node:
        node.input[:] = ["embeddings" if name == before else name for name in node.input]
        node.output[:] = ["embeddings" if name == before else name for name in node.output]
    dim = graph.output[0].type.tensor_type.shape.dim[1].dim_value - 1
    graph.output.insert(0, helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", dim]))


def _make_short(model: Any) -> None:
    """Take out what only people who debug an exporter read, and number the names."""
    graph = model.graph
    del graph.value_info[:]
    del graph.metadata_props[:]
    del model.metadata_props[:]
    names: dict[str, str] = {}

    def short(name: str) -> str:
        if name in ("", "pixels", "embeddings", "familiar"):
            return name
        return names.setdefault(name, f"t{len(names)}")

    for node in graph.node:
        node.name, node.doc_string = "", ""
        del node.metadata_props[:]
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]
    for initializer in graph.initializer:
        initializer.name, initializer.doc_string = short(initializer.name), ""
        del initializer.metadata_props[:]

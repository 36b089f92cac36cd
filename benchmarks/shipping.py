"""Writes a trained tagger as the two files that ship in the wheel: weights in half precision, and a graph that reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.numpy
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from fashionsearch.backbones.embedder import Embedder
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes.graph import to_onnx
from fashionsearch.runtimes.network import Network

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


def write_weights(path: Path, arrays: Mapping[str, Array], config: Mapping[str, Any]) -> None:
    """Write arrays and what JSON holds into one safetensors file."""
    text = json.dumps(config, ensure_ascii=True, separators=(",", ":"))
    path.write_bytes(safetensors.numpy.save(dict(arrays), {"config": text}))


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
        to_onnx(_Answers(embedder, preprocess), pixels, output="familiar", dynamic=["n"])
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

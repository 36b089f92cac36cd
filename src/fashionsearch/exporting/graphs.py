"""The graph that is written: resizing, the network, and a classifier's head, one behind the other."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx.compose
import onnx.helper
import onnx.numpy_helper

from fashionsearch.backbones import Backbone
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes import graph
from fashionsearch.runtimes.resizing import KERNELS
from fashionsearch.tagging.head import LinearHead

_NETWORK = "network/"


def resizes(preprocess: Preprocess) -> bool:
    """Return whether a graph can make photos the network's size by itself."""
    return preprocess.resize == "squash" and preprocess.interpolation in KERNELS


def embedding_graph(backbone: Backbone) -> bytes:
    """Return the graph from "pixels" to "embeddings": of photos of any size where it can resize them.

    Raises:
        RuntimeUnavailableError: if the network can't be exported.
    """
    network = onnx.load_from_string(graph.export(backbone.module, backbone.preprocess))
    if resizes(backbone.preprocess):
        resizing = onnx.load_from_string(graph.export_resizing(backbone.preprocess))
        network = onnx.compose.add_prefix(network, _NETWORK, rename_outputs=False)
        network = onnx.compose.merge_models(resizing, network, io_map=[("resized", f"{_NETWORK}pixels")])
    return _serialised(network)


def with_head(embedding: bytes, head: LinearHead) -> bytes:
    """Return a graph with a second output, "probabilities": the softmax of the head's logits."""
    model = onnx.load_from_string(embedding)
    weights = {"head.weight": head.weight, "head.bias": head.bias}
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in weights.items()
    )
    model.graph.node.extend(
        [
            onnx.helper.make_node("Gemm", ["embeddings", *weights], ["logits"], transB=1),
            onnx.helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        ]
    )
    shape: list[str | int | None] = ["n", len(head.bias)]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, shape)
    )
    return _serialised(model)


def _serialised(model: onnx.ModelProto) -> bytes:
    # The exporter notes at each operation which line of which file it came from: nobody else's business, and half the size
    # of a small network.
    for node in _nodes(model.graph):
        del node.metadata_props[:]
    serialised: bytes = model.SerializeToString()
    return serialised


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)

"""`export`: from an encoder to a folder, tried by its own script before it gets its name."""

from __future__ import annotations

import copy
import os
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.backbones import Backbone, as_backbone
from fashionsearch.exporting import folder as folders
from fashionsearch.exporting import graphs, templates
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes.graph import MAX_ERROR, relative_error
from fashionsearch.runtimes.openvino import import_openvino
from fashionsearch.tagging.classifier import Classifier

if TYPE_CHECKING:
    from fashionsearch.autoencoder.autoencoder import Autoencoder

_Run: TypeAlias = "Callable[[NDArray[np.uint8]], Mapping[str, NDArray[Any]]]"

FORMATS = ("onnx", "openvino")
_MAX_ERROR_RESIZED = (
    0.01  # a cosine of 0.99995: where Pillow's level lies between two, the model may have the other one
)


def export(
    encoder: Backbone | Classifier | Autoencoder | str,
    folder: str | os.PathLike[str],
    *,
    format: str = "onnx",
) -> None:
    """Write a folder with a model that other programs load without this library and without torch.

    It holds the model, `model.json` with all that must be known to use it, `use.py`, a short script that does, and a
    `README.md`. The model maps "pixels", (n, height, width, 3) uint8 photos of any one size, to "embeddings", (n, dim)
    float32, and a classifier's also to "probabilities", (n, c) float32. Resizing and normalisation are part of it. With
    `resize="pad"` or `"crop"`, or `interpolation="nearest"`, photos come in the network's own size, and the script makes
    them so.

    Before the folder gets its name, `use.py` runs the model on random photos of several sizes, and what it returns is
    compared with what torch returns in float32.

    Args:
        encoder: a backbone, a fitted classifier or autoencoder (of which the encoder is written), or a backbone's name.
        folder: written beside its place and then renamed, so that it is whole or not there. One that was exported before
            is replaced; one that holds anything else is refused.
        format: "onnx" (`model.onnx`, for ONNX Runtime and many others) or "openvino" (`model.xml` and `model.bin`).

    Raises:
        InputError: if the encoder or the format isn't one of these.
        NotFittedError: if the encoder has not learned yet.
        RuntimeUnavailableError: if the network can't be exported, its results differ from torch's, or OpenVINO isn't
            installed.
        StorageError: if the folder holds something else or can't be written; what was there is unchanged.

    Examples:
        >>> import os, tempfile
        >>> import fashionsearch as fs
        >>> backbone = fs.create_backbone("cnn", weights=None, random_state=0)
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     fs.export(backbone, os.path.join(parent, "served"))
        ...     sorted(os.listdir(os.path.join(parent, "served")))
        ['README.md', 'model.json', 'model.onnx', 'use.py']
    """
    if format not in FORMATS:
        raise errors.InputError(
            f"format={format!r} is not one of {', '.join(FORMATS)}.{errors.did_you_mean(format, FORMATS)}"
        )
    backbone = as_backbone(encoder)
    classifier = encoder if isinstance(encoder, Classifier) else None
    if format == "openvino":
        import_openvino("format")
    target = folders.checked(folder)
    reference = _on_the_cpu(backbone)
    graph = graphs.embedding_graph(reference)
    head = None if classifier is None else classifier.head_
    if head is not None:
        graph = graphs.with_head(graph, head)
    about = templates.model_card(reference, classifier, format)
    with folders.written(target) as fresh:
        _write_model(graph, fresh, format)
        templates.write(about, fresh)
        _compare(_script(fresh), reference, classifier)


def _on_the_cpu(backbone: Backbone) -> Backbone:
    """Return the backbone as torch runs it in float32 on the CPU, whatever it runs on otherwise."""
    module = backbone.module if backbone.device.type == "cpu" else copy.deepcopy(backbone.module)
    return backbone.variant(module=module, device="cpu", precision="fp32", runtime="torch", progress=False)


def _write_model(graph: bytes, folder: Path, format: str) -> None:
    path = folder / folders.ONNX
    path.write_bytes(graph)
    if format == "onnx":
        return
    openvino = import_openvino("format")
    try:
        # Not its `convert_model`, which reports to its maker.
        openvino.save_model(
            openvino.Core().read_model(path), folder / folders.OPENVINO, compress_to_fp16=False
        )
    # OpenVINO raises RuntimeError for everything.
    except RuntimeError as error:
        raise errors.RuntimeUnavailableError(
            f"OpenVINO can't convert this network: {error}; use format='onnx'"
        ) from error
    path.unlink()


def _script(folder: Path) -> _Run:
    """Return the function `run` of a folder's own script."""
    try:
        run: _Run = runpy.run_path(str(folder / folders.SCRIPT))["run"]
    # Runtimes raise anything.
    except Exception as error:
        raise errors.RuntimeUnavailableError(f"the exported model can't be opened: {error}") from error
    return run


def _compare(run: _Run, reference: Backbone, classifier: Classifier | None) -> None:
    """Raise RuntimeUnavailableError, with the figure, unless an exported model gives what torch gives."""
    random = np.random.default_rng(0)
    for height, width in _sizes(reference.preprocess):
        photos = random.integers(0, 256, (3, height, width, 3), dtype=np.uint8)
        photos[1] //= 2  # three photos that differ in level, or a constant network would look right
        photos[2] |= 128
        allowed = (
            MAX_ERROR["fp32"] if (height, width) == reference.preprocess.image_size else _MAX_ERROR_RESIZED
        )
        embeddings = reference.embed(photos)
        expected = {"embeddings": embeddings}
        if classifier is not None:
            expected["probabilities"] = classifier.head_.probabilities(embeddings).astype(np.float32)
        try:
            got = run(photos)
        except Exception as error:
            raise errors.RuntimeUnavailableError(f"the exported model can't run: {error}") from error
        for name, values in expected.items():
            same_shape = got[name].shape == values.shape
            off = relative_error(got[name], values) if same_shape else float("inf")
            if not off <= allowed:
                raise errors.RuntimeUnavailableError(
                    f"the exported model disagrees with torch on photos of {height} × {width}: relative error {off:.2g} in "
                    f"{name}, at most {allowed} is allowed; nothing was written"
                )


def _sizes(preprocess: Preprocess) -> list[tuple[int, int]]:
    """Return sizes of photos that take each way through the resizing: none, larger, smaller, rows or columns first."""
    height, width = preprocess.image_size
    if not graphs.resizes(preprocess):
        return [(height, width)]
    return [(height, width), (80, 60), (3 * height + 1, width + 5), (height + 3, 2 * width + 1)]

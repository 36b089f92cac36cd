"""Networks as ONNX graphs: exported from torch, kept in the cache, and compared with torch before they are used."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fashionsearch import errors, storage
from fashionsearch.cache import cache_folder
from fashionsearch.device import torch_defaults
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes.base import Runtime
from fashionsearch.runtimes.network import Network
from fashionsearch.runtimes.quiet import quiet
from fashionsearch.runtimes.resizing import Resize

MAX_ERROR = {"fp32": 0.001, "bf16": 0.3}  # relative; bf16 keeps 8 bits, and noise shows them worst
_GRAPH = "model.onnx"


def exported(
    open_graph: Callable[[bytes], Runtime],
    module: nn.Module,
    preprocess: Preprocess,
    fingerprint: str,
    *,
    precision: str = "fp32",
) -> Runtime:
    """Return a runtime opened on a network's graph, once it has been compared with torch.

    The graph maps (n, H, W, 3) uint8 to (n, dim) float32, normalisation included. It is kept in the cache folder under a
    key of weights, preprocessing and versions, with its SHA-256.

    Args:
        open_graph: makes the runtime, such as `OnnxRuntime`.
        module: the backbone, in float32 on the CPU.
        preprocess: its preprocessing.
        fingerprint: of weights and preprocessing: the key of the cached graph.
        precision: "fp32" or "bf16", in which the runtime computes.

    Raises:
        RuntimeUnavailableError: if the network can't be exported, or the exported one disagrees with torch.
    """
    opened: list[Runtime] = []

    def check(graph: bytes) -> None:
        opened.append(open_graph(graph))
        compare(opened[0], module, preprocess, MAX_ERROR[precision])

    kept_graph(lambda: export(module, preprocess), fingerprint, check)
    return opened[0]


def kept_graph(
    make: Callable[[], bytes], fingerprint: str, check: Callable[[bytes], object] | None = None
) -> bytes:
    """Return a graph from the cache, or make it and keep it there.

    Args:
        make: exports the network.
        fingerprint: of what is exported.
        check: raises RuntimeUnavailableError for a graph that isn't good.

    Raises:
        RuntimeUnavailableError: if it can't be exported, or isn't good.
    """
    folder = _export_folder(fingerprint)
    kept = _cached_graph(folder)
    graph = make() if kept is None else kept
    if check is not None:
        check(graph)
    if kept is None:
        _keep(graph, folder)
    return graph


def compare(
    runtime: Runtime, module: nn.Module, preprocess: Preprocess, max_error: float = MAX_ERROR["fp32"]
) -> None:
    """Raise RuntimeUnavailableError, with the figure, unless a runtime gives what torch gives in float32."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, *preprocess.image_size, 3), dtype=np.uint8)
    pixels[1] //= 2  # three photos that differ in level, or a constant network would look right
    pixels[2] |= 128
    with torch_defaults(), torch.inference_mode():
        expected = Network(module, preprocess).eval()(torch.from_numpy(pixels)).numpy()
    try:
        got = runtime.run(pixels)
    # The exceptions of runtimes have no common base but Exception.
    except Exception as error:
        raise errors.RuntimeUnavailableError(
            f"the runtime {runtime.name!r} can't run the exported network: {error}; use runtime='torch'"
        ) from error
    if got.shape != expected.shape:
        raise errors.RuntimeUnavailableError(
            f"the exported network disagrees with torch: it returns shape {got.shape} in {runtime.name!r} where torch "
            f"returns {expected.shape}; use runtime='torch'"
        )
    off = relative_error(got, expected)
    if not off <= max_error:
        raise errors.RuntimeUnavailableError(
            f"the exported network disagrees with torch: relative error {off:.2g} in {runtime.name!r}, at most {max_error} "
            "is allowed; use runtime='torch'"
        )


def relative_error(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the length of the difference over the expected length, of the worst row; NaN where there is one.

    The cosine would be blind to a factor that a classifier's head is not.
    """
    lengths = np.maximum(np.linalg.norm(expected, axis=1), 1e-6)
    return float((np.linalg.norm(got - expected, axis=1) / lengths).max())


def is_exported(fingerprint: str) -> bool:
    """Return whether an export for this network is in the cache."""
    folder = _export_folder(fingerprint)
    return folder is not None and (folder / storage.MANIFEST).exists()


def _export_folder(fingerprint: str) -> Path | None:
    root = cache_folder()
    if root is None:
        return None
    versions = f"{fingerprint} torch {torch.__version__} onnxscript {version('onnxscript')}"
    return root / "onnx" / hashlib.sha256(versions.encode()).hexdigest()[:32]


def _cached_graph(folder: Path | None) -> bytes | None:
    if folder is None or not folder.exists():
        return None
    try:
        return storage.open_saved(folder, "export").content(_GRAPH)
    except errors.CorruptFileError:
        shutil.rmtree(folder, ignore_errors=True)  # storage refuses to save over a damaged manifest
    except (errors.StorageError, OSError):
        pass  # another process may be writing it at this moment
    return None


def _keep(graph: bytes, folder: Path | None) -> None:
    if folder is not None:
        # The cache only saves time: a full disk or a second process must not stop the work.
        with contextlib.suppress(errors.StorageError):
            storage.save(folder, "export", {_GRAPH: storage.write_bytes(graph)})


def export(module: nn.Module, preprocess: Preprocess, outputs: Sequence[str] = ("embeddings",)) -> bytes:
    """Return a network as an ONNX graph, of one output or of several.

    Raises:
        RuntimeUnavailableError: if it can't be exported.
    """
    with torch_defaults():
        pixels = torch.zeros((2, *preprocess.image_size, 3), dtype=torch.uint8)
        return to_onnx(Network(module, preprocess), pixels, outputs=outputs, dynamic=["n"])


def export_resizing(preprocess: Preprocess) -> bytes:
    """Return the resizing of photos of any one size, "pixels", to "resized" ones, as an ONNX graph.

    Raises:
        RuntimeUnavailableError: if it can't be exported.
    """
    with torch_defaults():
        pixels = torch.zeros((2, 7, 9, 3), dtype=torch.uint8)
        return to_onnx(Resize(preprocess), pixels, outputs=["resized"], dynamic=["n", "height", "width"])


def to_onnx(
    module: nn.Module, pixels: torch.Tensor, *, outputs: Sequence[str], dynamic: Sequence[str]
) -> bytes:
    """Return a module that maps "pixels" to one output or several as an ONNX graph.

    Args:
        module: the module.
        pixels: an example, with other sizes than 1 where the size is dynamic.
        outputs: the outputs' names.
        dynamic: names of the first dimensions of `pixels`, which may have any size.

    Raises:
        RuntimeUnavailableError: if it can't be exported.
    """
    sizes = {place: torch.export.Dim(name, min=1, max=65536) for place, name in enumerate(dynamic)}
    try:
        with quiet(), tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / _GRAPH
            torch.onnx.export(
                module.eval(),
                (pixels,),
                path,
                input_names=["pixels"],
                output_names=list(outputs),
                dynamic_shapes={"pixels": sizes},
                external_data=False,
                dynamo=True,
                verbose=False,
            )
            return path.read_bytes()
    # The exporter raises errors of its own for each thing it can't translate.
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:  # the exporter's own message is an advertisement of its steps
            cause = cause.__cause__
        reason = str(cause).strip().splitlines() or [type(cause).__name__]
        raise errors.RuntimeUnavailableError(
            f"this network can't be exported to ONNX ({reason[0][:200]}); use runtime='torch'"
        ) from error

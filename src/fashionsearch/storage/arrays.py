"""Arrays in a safetensors file, written and read without a copy in memory.

The package's own `save_file` makes files that only their owner can read, and takes no path that is not UTF-8.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

Shape: TypeAlias = "Sequence[int | str | None]"
Expected: TypeAlias = "Mapping[str, tuple[DTypeLike, Shape]]"

_MAX_HEADER = 100_000_000
_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8",
    "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}


def write_arrays(arrays: Mapping[str, NDArray[Any]]) -> Callable[[Path], None]:
    """Return a writer of a safetensors file of arrays.

    Raises:
        TypeError: if one has a dtype that such a file can't hold.
    """
    plain: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        little = np.ascontiguousarray(array).reshape(np.shape(array))  # a scalar stays one
        little = little.astype(little.dtype.newbyteorder("<"), copy=False)
        if little.dtype not in _NAMES:
            raise TypeError(f"{name!r} has dtype {array.dtype}, which can't be saved")
        plain[name] = little
    # The widest first, so that each lies where its dtype is aligned.
    order = sorted(plain, key=lambda name: (-plain[name].itemsize, name))

    def write(path: Path) -> None:
        header, start = {}, 0
        for name in order:
            end = start + plain[name].nbytes
            header[name] = {
                "dtype": _NAMES[plain[name].dtype],
                "shape": plain[name].shape,
                "data_offsets": (start, end),
            }
            start = end
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with path.open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name in order:
                file.write(plain[name].reshape(-1).view(np.uint8).data)

    return write


def parse_arrays(content: bytearray) -> dict[str, NDArray[Any]]:
    """Return the arrays of a safetensors file, which share its memory.

    Raises:
        ValueError: if it isn't one, with the reason. Other errors of damaged content are those of `json`.
    """
    if len(content) < 8:
        raise ValueError("it ends within the first 8 bytes")
    (length,) = struct.unpack_from("<Q", content)
    if length > min(_MAX_HEADER, len(content) - 8):
        raise ValueError(f"its header would have {length:,} bytes")
    header = json.loads(content[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("its header is not an object")
    header.pop("__metadata__", None)
    arrays, free = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, end = entry["data_offsets"]
        shape, code = entry["shape"], _DTYPES.get(entry["dtype"])
        if code is None:
            raise ValueError(f"{name!r} has dtype {entry['dtype']!r}, which numpy lacks")
        if not isinstance(shape, list) or not all(
            type(side) is int and side >= 0 for side in (*shape, start, end)
        ):
            raise ValueError(f"{name!r} has shape {shape!r} and offsets {start!r}, {end!r}")
        if start != free or end - start != math.prod(shape) * np.dtype(code).itemsize:
            raise ValueError(f"{name!r} of shape {shape} doesn't fill bytes {start:,} to {end:,}")
        if 8 + length + end > len(content):
            raise ValueError(f"{name!r} ends behind the end of the file")
        array = np.frombuffer(content, dtype=code, count=math.prod(shape), offset=8 + length + start)
        arrays[name] = np.require(array, requirements=["A", "W"]).reshape(shape)
        free = end
    if 8 + length + free != len(content):
        raise ValueError(f"{len(content) - 8 - length - free:,} bytes belong to no array")
    return arrays


def parse_metadata(content: bytearray) -> dict[str, str]:
    """Return the texts by name that a safetensors file, which `parse_arrays` has read, has in its header."""
    (length,) = struct.unpack_from("<Q", content)
    metadata: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return metadata


def check_arrays(arrays: Mapping[str, NDArray[Any]], expected: Expected) -> None:
    """Raise ValueError unless the expected arrays are there, with dtype, shape and finite values.

    Args:
        arrays: by name; others than the expected ones may be among them.
        expected: name -> (dtype, shape). A side of the shape is a length, None for any, or a name: sides of one name
            must be equal.
    """
    sides: dict[str, int] = {}
    for name, (dtype, shape) in expected.items():
        if name not in arrays:
            raise ValueError(f"the array {name!r} is missing")
        array = arrays[name]
        if array.dtype != np.dtype(dtype):
            raise ValueError(f"{name!r} has dtype {array.dtype}, and {np.dtype(dtype)} is needed")
        wanted = tuple(sides.setdefault(side, length) if isinstance(side, str) else side
                       for side, length in zip(shape, array.shape, strict=False))  # fmt: skip
        if len(shape) != array.ndim or any(
            side not in (None, length) for side, length in zip(wanted, array.shape, strict=True)
        ):
            raise ValueError(f"{name!r} has shape {array.shape}, and {tuple(shape)} is needed{_told(sides)}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name!r} holds NaN or infinity")


def _told(sides: Mapping[str, int]) -> str:
    return "".join(f", {side} being {length:,}" for side, length in sides.items())

"""The files of a network that ships in the wheel, verified before anything is made of them.

```text
fashion.safetensors     in its header, as JSON: version, attributes with their classes, taxonomy, what is familiar, and
                        figures; and as arrays:
    network.…           the network's weights in half precision, batch normalisation folded into the convolutions
    weight.0, bias.0 …  of each attribute, by its number: a calibrated head; above.0, the class above each class
    examples            (m, dim) int8, embeddings that stand for all that was learned from, and indices of their classes
    learned             (n,) uint64, digests of the photos that were learned from, in order
fashion.onnx            the same network as a graph, which finds its weights in the file above
fashion-words.safetensors   what `words.Words` is made of, learned from the titles of the same photos; hashes, and no text
```
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionsearch import errors, storage
from fashionsearch.files import open_regular

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FOLDER = Path(__file__).parent
_NETWORK = "network."
# Written by benchmarks/pretrained.py, and what concerns words by benchmarks/ship_words.py: SHA-256 of the files and of the
# network's tensors, the length of its embeddings, and the fingerprint of the network whose embeddings the words are for.
_SHIPPED: dict[str, dict[str, Any]] = json.loads((_FOLDER / "shipped.json").read_text(encoding="utf-8"))


@dataclass(frozen=True, eq=False)
class Shipped:
    """A network that ships in the wheel, and what it learned.

    Attributes:
        name: of the network.
        config: the fields of its header.
        arrays: by name, as in the file.
    """

    name: str
    config: storage.Fields
    arrays: dict[str, NDArray[Any]]

    @property
    def network(self) -> dict[str, NDArray[np.float32]]:
        """The network's weights in full precision, by their names in the network."""
        return network_of(self.arrays)


def network_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """Return those arrays of a shipped file that are its network's weights, as `Shipped.network` has them."""
    import numpy as np

    return {
        name.removeprefix(_NETWORK): array.astype(np.float32)
        for name, array in arrays.items()
        if name.startswith(_NETWORK)
    }


def is_shipped(name: object) -> bool:
    """Return whether a network of this name ships in the wheel."""
    return isinstance(name, str) and name in _SHIPPED


def known(name: str) -> Mapping[str, Any]:
    """Return what is known of a shipped network without reading it: "network", its hash, and "dim" among others."""
    return _SHIPPED[name]


def ships(name: str | os.PathLike[str]) -> bool:
    """Return whether what somebody named is a network that ships in the wheel, and no folder or file here."""
    return not Path(name).exists() and is_shipped(os.fspath(name))


def open_shipped(name: str, folder: Path = _FOLDER) -> Shipped:
    """Read a network that ships in the wheel.

    Args:
        name: of the network.
        folder: where its files lie.

    Raises:
        WeightsError: if there is no such network.
        CorruptFileError: if its file isn't the one that shipped.
    """
    if not is_shipped(name):
        raise errors.WeightsError(
            f"no network called {name!r:.60} ships with fashionsearch; those that do are {', '.join(_SHIPPED)}."
            + errors.did_you_mean(str(name), list(_SHIPPED))
        )
    return _read(name, folder / f"{name}.safetensors", _SHIPPED[name]["weights"])


def with_words() -> dict[str, str]:
    """Return name -> fingerprint of the networks that words ship with."""
    return {name: known["words_for"] for name, known in _SHIPPED.items() if "words_for" in known}


def open_words(name: str, folder: Path = _FOLDER) -> Shipped:
    """Read the words that ship with one of the networks of `with_words`.

    Raises:
        CorruptFileError: if their file isn't the one that shipped.
    """
    return _read(name, folder / f"{name}-words.safetensors", _SHIPPED[name]["words"])


def _read(name: str, path: Path, expected: str) -> Shipped:
    content = bytearray(_verified(path, expected))
    arrays, text = storage.parse_arrays(content), storage.parse_metadata(content).get("config", "")
    return Shipped(name, storage.Fields.parse(path, text.encode()), arrays)


def weights_of(name: str, folder: Path = _FOLDER) -> bytes:
    """Return the content of a shipped network's file.

    Raises:
        CorruptFileError: if it isn't the one that shipped.
    """
    return _verified(folder / f"{name}.safetensors", _SHIPPED[name]["weights"])


def graph_of(name: str, folder: Path = _FOLDER) -> Path:
    """Return the path of a shipped network's graph, having verified it and the weights that it reads.

    Raises:
        CorruptFileError: if a file isn't the one that shipped.
    """
    weights_of(name, folder)
    path = folder / f"{name}.onnx"
    _verified(path, _SHIPPED[name]["graph"])
    return path


def _verified(path: Path, expected: str) -> bytes:
    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError as error:
        raise errors.CorruptFileError(
            f"{path} can't be read: {error.strerror or error}; install fashionsearch again"
        ) from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise errors.CorruptFileError(
            f"{path} is not the file that ships with fashionsearch: its SHA-256 differs; install fashionsearch again"
        )
    return content

"""What an index has learned beside its items, saved with it: how its embeddings lie, words, what a likeness is worth.

In a saved index, and in the folder `learned` of an opened one:

```text
learned.json               the names of the parts
learned-NAME.json          a part's numbers and texts
learned-NAME.safetensors   its arrays
```
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage

FOLDER = "learned"  # of an opened index; also the kind of what is saved there
_NAMES = "learned.json"

State: TypeAlias = "tuple[dict[str, Any], dict[str, NDArray[Any]]]"


class Part(Protocol):
    """Something that was learned."""

    @property
    def name(self) -> str:
        """What it is kept under: its key in `_readers`."""
        ...

    def state(self) -> State:
        """Return what `_readers` makes it of again: what JSON holds, and arrays."""
        ...


def _readers() -> dict[str, Callable[[storage.Fields, dict[str, NDArray[Any]]], Part]]:
    """Return what makes the parts again; imported here, since most indexes have learned nothing."""
    from fashionsearch.index.chances import Calibration
    from fashionsearch.index.clicks import ClickMetric
    from fashionsearch.index.whitening import Whitening
    from fashionsearch.words import Words

    return {
        "calibration": Calibration.from_state,
        "whitening": Whitening.from_state,
        "clicks": ClickMetric.from_state,
        "words": Words.from_state,
    }


def writers(parts: Mapping[str, Part]) -> dict[str, storage.Writer]:
    """Return what `storage.save` needs to keep them."""
    files: dict[str, storage.Writer] = {}
    for name, part in parts.items():
        config, arrays = part.state()
        files[f"learned-{name}.json"] = storage.write_json(config)
        files[f"learned-{name}.safetensors"] = storage.write_arrays(arrays)
    files[_NAMES] = storage.write_json({"names": list(parts)})
    return files


def read(saved: storage.Saved) -> dict[str, Part]:
    """Return the parts that a folder keeps; none if it was written before there were any.

    Raises:
        CorruptFileError: if they aren't what was written.
    """
    if _NAMES not in saved.files:
        return {}
    parts, readers = {}, _readers()
    for name in saved.json(_NAMES).items_of("names", str):
        if name not in readers:
            raise errors.CorruptFileError(
                f"{saved.folder} holds {name[:40]!r} that was learned, not one of {', '.join(readers)}; load it "
                "with the version of fashionsearch that wrote it"
            )
        config = saved.json(f"learned-{name}.json")
        try:
            parts[name] = readers[name](config, saved.arrays(f"learned-{name}.safetensors"))
        except (ValueError, TypeError, errors.InputError) as error:
            raise errors.CorruptFileError(
                f"{saved.folder}: learned-{name} is damaged: {error}; restore it from a copy"
            ) from error
    return parts


def same(one: Mapping[str, Part], other: Mapping[str, Part]) -> bool:
    """Return whether two indexes have learned the same."""
    if one.keys() != other.keys():
        return False
    for name, part in one.items():
        (config, arrays), (others, other_arrays) = part.state(), other[name].state()
        if part is not other[name] and (
            config != others
            or arrays.keys() != other_arrays.keys()
            or not all(np.array_equal(array, other_arrays[key]) for key, array in arrays.items())
        ):
            return False
    return True


def keep(folder: Path, parts: Mapping[str, Part]) -> None:
    """Write the parts of an opened index, atomically.

    Raises:
        StorageError: if they can't be written; the folder has those before.
    """
    storage.save(folder / FOLDER, FOLDER, writers(parts))


def mark(folder: Path) -> bytes:
    """Return what is another each time that parts of an opened index are written; nothing where none ever were.

    Raises:
        StorageError: if it can't be read.
    """
    path = folder / FOLDER / storage.MANIFEST
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise errors.StorageError(f"{path} can't be read: {error.strerror or error}") from error


def kept(folder: Path) -> dict[str, Part]:
    """Return the parts of an opened index.

    Raises:
        CorruptFileError: if they aren't what was written.
    """
    if not (folder / FOLDER / storage.MANIFEST).exists():
        return {}
    return read(storage.open_saved(folder / FOLDER, FOLDER))

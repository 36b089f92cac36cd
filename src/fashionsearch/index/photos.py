"""Where the photos of an index's items are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashionsearch import errors
from fashionsearch.files import as_path
from fashionsearch.index.rows import Id


class Photos:
    """Finds the photo of an item.

    Args:
        given: id -> photo, in any form that `add` takes; or a folder, in which a photo's name is that of the item, with or
            without an ending, or that of the file it was added from; None is the paths that items were added from.
        background: what the index does about backgrounds.

    Raises:
        InputError: if it is none of these.
        DataError: if there is no such folder.
    """

    def __init__(
        self, given: Mapping[Any, Any] | str | os.PathLike[str] | None, background: str = "keep"
    ) -> None:
        self.background = background
        self._given = given if isinstance(given, Mapping) else None
        self.folder: Path | None = None
        if given is None or self._given is not None:
            return
        if not isinstance(given, str | os.PathLike):
            raise errors.InputError(
                f"photos of type {type(given).__name__} are neither a mapping of ids to photos nor a folder; give one, or "
                "None for the paths that the items were added from"
            )
        self.folder = as_path(given).absolute()
        if not self.folder.is_dir():
            raise errors.DataError(f"{self.folder} is no folder; give that of the photos")

    @property
    def are_given(self) -> bool:
        """Whether only the caller has them."""
        return self._given is not None

    def find(self, item: Id, source: str | None) -> Any:
        """Return the photo of an item that was added from a path.

        Raises:
            LookupError: if there is none; it says why.
        """
        if self._given is not None:
            if item not in self._given:
                raise LookupError("photos= has none of it")
            return self._given[item]
        if self.folder is None:
            if source is None:
                raise LookupError("it was added without a path")
            return self._existing(Path(source))
        from fashionsearch.datasets.folder import EXTENSIONS  # here: it brings the decoding of photos

        names = [str(item), *(f"{item}{ending}" for ending in EXTENSIONS)]
        names += [] if source is None else [Path(source).name]
        for name in names:
            path = Path(os.path.abspath(self.folder / name))  # noqa: PTH100 (an id may hold "..")
            if path.is_relative_to(self.folder) and _is_file(path):
                return path
        raise LookupError(f"{self.folder} has no photo of its name")

    @staticmethod
    def _existing(path: Path) -> Path:
        if not _is_file(path):
            raise LookupError(f"there is no file {path}")
        return path


def _is_file(path: Path) -> bool:
    """Return whether there is a file; one whose name is too long, or in a folder that may not be looked into, isn't there."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False

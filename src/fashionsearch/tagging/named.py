"""The tagger that somebody names by text: a folder of theirs, or one that ships."""

from __future__ import annotations

import os
from pathlib import Path

from fashionsearch.pretrained import ships
from fashionsearch.tagging.tagger import Tagger


def named_tagger(name: str | os.PathLike[str], *, progress: bool = True) -> Tagger:
    """Return the tagger that was saved to a folder, or the one of that name that ships; a wrong path never asks the hub.

    Args:
        name: of either.
        progress: show a bar once something takes over two seconds.

    Raises:
        StorageError: if there is no such folder, or it holds something else.

    Examples:
        >>> len(named_tagger("fashion").attributes_)
        7
    """
    if ships(name):
        return Tagger.from_pretrained(os.fspath(name), progress=progress)
    return Tagger.load(Path(name), progress=progress)

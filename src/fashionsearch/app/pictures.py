"""Small pictures of items, made of the files that the index names, the latest of them kept."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path

from fashionsearch import errors
from fashionsearch.images import read_image, thumbnail_uri
from fashionsearch.index.photos import Photos
from fashionsearch.index.rows import Id

SIDE = 320  # pixels of the longer side
_MOST = 1000


class Pictures:
    """Returns items' pictures as `data:` addresses, so that no file is ever served.

    Args:
        photos: finds the photo of an item; None opens no file.
        most: how many pictures to keep.
    """

    def __init__(self, photos: Photos | None, *, most: int = _MOST) -> None:
        self._photos, self._most = photos, most
        self._kept: OrderedDict[tuple[str, int, int], str | None] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, item: Id, source: str | None) -> str | None:
        """Return the address of an item's picture, or None where there is no file, or none that can be read.

        Args:
            item: the item's id.
            source: the path it was added from.
        """
        path = self.path(item, source)
        if path is None:
            return None
        try:
            found = path.stat()
        except OSError:
            return None
        key = os.fspath(path), found.st_mtime_ns, found.st_size
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        picture = _picture(path)
        with self._lock:
            self._kept[key] = picture
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return picture

    def path(self, item: Id, source: str | None) -> Path | None:
        """Return the file of an item's photo, if there is one that may be opened."""
        if self._photos is None:
            return None
        try:
            return Path(self._photos.find(item, source))
        except (LookupError, ValueError):  # a name with a zero byte in it
            return None


def _picture(path: Path) -> str | None:
    try:
        return thumbnail_uri(read_image(path, at_least=(SIDE, SIDE)), side=SIDE)
    except (errors.ImageError, OSError):
        return None

"""Photos as users have them: read, checked, and made the size a network wants."""

from __future__ import annotations

from fashionsearch.images.digest import pixels_digest
from fashionsearch.images.inputs import (
    WORKERS,
    ImageCheck,
    Images,
    check_images,
    count,
    iterate,
    named,
    ordered_map,
    read_image,
    repeatable,
    source_of,
    thumbnail_uri,
)

__all__ = [
    "WORKERS",
    "ImageCheck",
    "Images",
    "check_images",
    "count",
    "iterate",
    "named",
    "ordered_map",
    "pixels_digest",
    "read_image",
    "repeatable",
    "source_of",
    "thumbnail_uri",
]

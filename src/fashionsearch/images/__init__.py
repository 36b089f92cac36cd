"""Photos as users have them: read, checked, and made the size a network wants."""

from __future__ import annotations

from fashionsearch.images.digests import digests, pixels_digest
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
from fashionsearch.images.region import check_region, cut

__all__ = [
    "WORKERS",
    "ImageCheck",
    "Images",
    "check_images",
    "check_region",
    "count",
    "cut",
    "digests",
    "iterate",
    "named",
    "ordered_map",
    "pixels_digest",
    "read_image",
    "repeatable",
    "source_of",
    "thumbnail_uri",
]

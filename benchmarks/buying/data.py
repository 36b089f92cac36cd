"""The photos that a buyer's searches are measured on, by part, with their embeddings.

Rows 1 to 10,000 are the gallery, which with `fashion-product-images-more` is what may be learned from; a tenth of the product
names in these is the validation part, the one that `fashion` never learned from, and is what anything is chosen on. Rows
10,001 to 12,000 are the test part, which is looked at once. Embeddings come from the cache where they are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pretrained import ATTRIBUTES, TEST_FROM, validation_rows

import fashionsearch as fs

FIELDS = (*ATTRIBUTES, "productDisplayName")
ENCODERS = ("fashion", "efficientnet_lite0")
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Part:
    """Photos of one part.

    Attributes:
        images: n paths.
        labels: field -> (n,) text, "" where unknown.
    """

    images: list[Any]
    labels: dict[str, Array]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, field: str) -> Array:
        return self.labels[field]

    def rows(self, chosen: Array) -> Part:
        """Return some of the photos."""
        places = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return Part(
            [self.images[place] for place in places],
            {name: all_[places] for name, all_ in self.labels.items()},
        )

    def kinds(self, *fields: str) -> Array:
        """Return (n,) text: what a photo is in several fields together."""
        return np.array(
            [" / ".join(row) for row in zip(*(self.labels[field] for field in fields), strict=True)]
        )


@dataclass(frozen=True)
class Data:
    """All parts.

    Attributes:
        folder: that holds the data sets.
        gallery: rows 1 to 10,000.
        more: photos to learn from alone.
        test: rows 10,001 to 12,000.
    """

    folder: Path
    gallery: Part
    more: Part
    test: Part

    @cached_property
    def known(self) -> Part:
        """What may be learned from: the gallery and more."""
        return Part(
            [*self.gallery.images, *self.more.images],
            {field: np.concatenate([self.gallery[field], self.more[field]]) for field in FIELDS},
        )

    @cached_property
    def is_validation(self) -> Array:
        """(n,) bool of `known`: the photos that things are chosen on."""
        return validation_rows(self.known["productDisplayName"], 0)


def read(folder: Path) -> Data:
    """Return the parts of the data sets in a folder."""
    table = fs.datasets.load_fashion_products(folder / "fashion-product-images-small")
    more = fs.datasets.load_fashion_products(folder / "fashion-product-images-more")
    return Data(folder, _part(table[:TEST_FROM]), _part(more), _part(table[TEST_FROM:]))


def _part(table: Any) -> Part:
    return Part(list(table.images), {field: table[field].astype(str) for field in FIELDS})


@lru_cache
def encoder(name: str) -> fs.Backbone:
    """Return a frozen network."""
    return fs.create_backbone(name, progress=False)


def embedded(name: str, images: Sequence[Any]) -> Array:
    """Return (n, dim) unit vectors of photos."""
    vectors = encoder(name).embed(images, cache=fs.EmbeddingCache())
    unit: Array = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit

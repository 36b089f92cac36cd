"""A head on a frozen backbone: photos, and augmented views of them, are embedded once and kept in the embedding cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.backbones import Backbone
from fashionsearch.cache import EmbeddingCache
from fashionsearch.embedding import PhotoTransform
from fashionsearch.images import Images
from fashionsearch.images.decoding import RGB
from fashionsearch.results import History
from fashionsearch.tagging.head import LinearHead, fit_head
from fashionsearch.training.augmentation import AUGMENTATIONS
from fashionsearch.training.data import one_thread

Labelled: TypeAlias = "tuple[Images, NDArray[np.intp]]"

_AUGMENTATION = AUGMENTATIONS["light"]


class AugmentedView:
    """One augmented view of each photo; the photo's bytes, the seed and the number decide it, so it is drawn once.

    Args:
        number: which of a photo's views, from 1 up.
        seed: of all views.
    """

    def __init__(self, number: int, seed: int | None) -> None:
        self.name = f"{_AUGMENTATION} {seed or 0} {number}"

    def __call__(self, pixels: RGB, draw: bytes) -> RGB:
        """Return a changed copy of (H, W, 3) uint8."""
        with one_thread():
            return _AUGMENTATION.apply(pixels, seed=int.from_bytes(draw[:4], "big"))


def fit_frozen_head(
    backbone: Backbone,
    images: Images,
    labels: NDArray[np.intp],
    held_out: Labelled | None,
    *,
    class_weight: str | Mapping[int, float] | None,
    augmented_views: int = 0,
    random_state: int | None,
) -> tuple[LinearHead, History]:
    """Embed photos by way of the cache, and fit a head.

    Args:
        backbone: stays as it is.
        images: n images; gone through more than once where there are views.
        labels: (n,) class numbers.
        held_out: images and class numbers to choose the regularisation on, or None to cross-validate.
        class_weight: None, "balanced" or class number -> weight.
        augmented_views: of each of the n images, from 0 up.
        random_state: of views and folds; None is 0.

    Raises:
        ImageError: if an image can't be read.
        DataError: if there are not as many labels as images.
    """
    with EmbeddingCache() as cache:
        embeddings = _embedded(backbone, images, labels, cache)
        drawn = [
            _embedded(backbone, images, labels, cache, AugmentedView(number, random_state))
            for number in range(1, augmented_views + 1)
        ]
        validation = None if held_out is None else (_embedded(backbone, *held_out, cache), held_out[1])
    return fit_head(
        embeddings,
        labels,
        views=np.stack(drawn) if drawn else None,
        validation=validation,
        class_weight=class_weight,
        random_state=random_state,
    )


def _embedded(
    backbone: Backbone,
    images: Images,
    labels: NDArray[Any],
    cache: EmbeddingCache,
    view: PhotoTransform | None = None,
) -> NDArray[np.float32]:
    embeddings = backbone.embed(images, cache=cache, view=view)
    if len(embeddings) != len(labels):
        raise errors.DataError(
            f"there are {len(embeddings)} images and {len(labels)} labels; give one label for each image"
        )
    return embeddings

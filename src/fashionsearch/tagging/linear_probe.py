"""Heads on a frozen backbone: photos, and augmented views of them, are embedded once and kept in the embedding cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.backbones import Backbone
from fashionsearch.cache import EmbeddingCache
from fashionsearch.embedding import PhotoTransform
from fashionsearch.images import Images
from fashionsearch.images.decoding import RGB
from fashionsearch.results import History
from fashionsearch.tagging.head import LinearHead
from fashionsearch.tagging.head_fit import fit_head
from fashionsearch.targets import UNKNOWN, Targets
from fashionsearch.training.augmentation import AUGMENTATIONS, Augmentation
from fashionsearch.training.data import one_thread

Labelled: TypeAlias = "tuple[Images, Targets]"
Vectors: TypeAlias = "NDArray[np.float32]"

_AUGMENTATION = AUGMENTATIONS["light"]


class AugmentedView:
    """One augmented view of each photo; the photo's bytes, the seed and the number decide it, so it is drawn once.

    Args:
        number: which of a photo's views, from 1 up.
        seed: of all views.
        augmentation: what may happen to a photo; None is the usual.
    """

    def __init__(self, number: int, seed: int | None, augmentation: Augmentation | None = None) -> None:
        self._augmentation = augmentation or _AUGMENTATION
        self.name = f"{self._augmentation} {seed or 0} {number}"

    def __call__(self, pixels: RGB, draw: bytes) -> RGB:
        """Return a changed copy of (H, W, 3) uint8."""
        with one_thread():
            return self._augmentation.apply(pixels, seed=int.from_bytes(draw[:4], "big"))


def fit_linear_probe(
    backbone: Backbone,
    images: Images,
    targets: Targets,
    validation: Labelled | None,
    *,
    class_weights: Mapping[str, NDArray[np.float32]],
    augmented_views: int = 0,
    random_state: int | None = None,
) -> dict[str, tuple[LinearHead, History]]:
    """Embed photos once, by way of the cache, and fit a head for each attribute.

    A photo whose label is unknown is left out of that attribute alone.

    Args:
        backbone: stays as it is.
        images: n images; gone through more than once where there are views.
        targets: of the n images.
        validation: images and targets to choose the regularisation on, or None to cross-validate.
        class_weights: attribute -> (c,) weights of its classes.
        augmented_views: of each of the n images, from 0 up.
        random_state: of views and folds; None is 0.

    Returns:
        Attribute -> its head, and the history of the regularisation strengths tried.

    Raises:
        ImageError: if an image can't be read.
        DataError: if there are not as many labels as images.
        WeightsError: if an embedding holds NaN or infinity.
    """
    embeddings, views, held_out = embed_parts(
        backbone, images, targets, validation, augmented_views=augmented_views, random_state=random_state
    )
    heads = {}
    for attribute, weights in class_weights.items():
        indices, known = _known(targets, attribute)
        chosen = None
        if validation is not None and held_out is not None:
            labels, rows = _known(validation[1], attribute)
            chosen = (held_out[rows], labels) if len(labels) else None
        heads[attribute] = fit_head(
            embeddings[known],
            indices,
            views=None if views is None else views[:, known],
            validation=chosen,
            class_weights=weights,
            random_state=random_state,
        )
    return heads


def embed_parts(
    backbone: Backbone,
    images: Images,
    targets: Targets,
    validation: Labelled | None,
    *,
    augmented_views: int,
    random_state: int | None,
    augmentation: Augmentation | None = None,
) -> tuple[Vectors, Vectors | None, Vectors | None]:
    """Return embeddings of photos (n, dim), of their augmented views (views, n, dim), and of the validation part.

    Arguments and errors are those of `fit_linear_probe`, and `augmentation` is what may happen to a view, None being the
    usual; what there isn't is None.
    """
    with EmbeddingCache() as cache:
        embeddings = _embedded(backbone, images, targets, cache)
        drawn = [
            _embedded(backbone, images, targets, cache, AugmentedView(number, random_state, augmentation))
            for number in range(1, augmented_views + 1)
        ]
        held_out = None if validation is None else _embedded(backbone, *validation, cache)
    return embeddings, np.stack(drawn) if drawn else None, held_out


def _known(targets: Targets, attribute: str) -> tuple[NDArray[np.int64], slice | NDArray[np.bool_]]:
    """Return the class indices that are known, and which rows they are of: a slice of all, which copies nothing, if all."""
    indices = targets.of(attribute)
    known = indices != UNKNOWN
    return (indices, slice(None)) if known.all() else (indices[known], known)


def _embedded(
    backbone: Backbone,
    images: Images,
    targets: Targets,
    cache: EmbeddingCache,
    view: PhotoTransform | None = None,
) -> Vectors:
    """Return (n, dim) embeddings of images, or of a changed view of them, by way of the cache.

    Raises:
        ImageError: if an image can't be read.
        DataError: if there are not as many labels as images.
    """
    embeddings = backbone.embed(images, cache=cache, view=view)
    labels = len(targets.indices)
    if len(embeddings) != labels:
        raise errors.DataError(
            f"there are {len(embeddings)} images and {labels} labels; give one label for each image"
        )
    return embeddings

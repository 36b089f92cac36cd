"""Photos as numbers to audit by: an encoder's features, brought to a few hundred of equal weight, and who is near whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.cache import EmbeddingCache
from fashionsearch.index.encoders import check, embed_all
from fashionsearch.neighbours import nearest_others
from fashionsearch.tagging.head import inverse_deviation

if TYPE_CHECKING:
    from fashionsearch.encoder import Embeds
    from fashionsearch.images.decoding import Image

DIMENSIONS = 384
_NEIGHBOURS = 30
_USED = 20


def embedder(encoder: object, *, progress: bool) -> Embeds:
    """Return what gives the features to audit by: colours beside a network's last layer, and nothing that knows the labels.

    A tagger's embedding was drawn towards its labels, those that are wrong among them, so what lies below it is taken.

    Raises:
        InputError: if it is no encoder, or no network of that name is known.
        NotFittedError: if it must learn first.
    """
    from fashionsearch.backbones import Backbone, create_backbone
    from fashionsearch.backbones.embedder import Embedder
    from fashionsearch.tagging.classifier import Classifier
    from fashionsearch.tagging.tagger import Tagger
    from fashionsearch.tagging.tagger_fit import with_colours

    if isinstance(encoder, str):
        encoder = create_backbone(encoder, progress=progress)
    check(encoder)
    network: Any = encoder.backbone_ if isinstance(encoder, Classifier | Tagger) else encoder
    if not isinstance(network, Backbone):
        return network  # type: ignore[no-any-return]
    if isinstance(network.module, Embedder):
        return network.variant(module=network.module.features)
    return with_colours(network)


def embed(encoder: Embeds, images: Sequence[Image]) -> NDArray[np.float32]:
    """Return (n, dim) float32 of images that can be read, by way of the cache.

    Raises:
        InputError: if the encoder returns another number of rows, NaN or infinity.
    """
    with EmbeddingCache() as cache:
        vectors = embed_all(encoder, images, "raise", cache)[0]
    if len(vectors) != len(images) or not np.isfinite(vectors).all():
        raise errors.InputError(
            f"the encoder returned {len(vectors)} embeddings of {len(images)} photos, and each must be of finite numbers"
        )
    return vectors


def reduced(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the main components of (n, dim) vectors whose numbers are standardised first, of mean variance 1."""
    centred = (vectors - vectors.mean(axis=0, dtype=np.float64)).astype(np.float32)
    centred *= inverse_deviation(centred.std(axis=0)).astype(np.float32)
    _, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64) / len(centred))
    components = centred @ axes[:, ::-1][:, :DIMENSIONS].astype(np.float32)
    spread = float(components.std(axis=0).mean())
    return np.ascontiguousarray(components / (spread or 1.0), dtype=np.float32)


def neighbours_of(
    features: NDArray[np.float32],
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return (n, k) the nearest others of each photo, nearest first, and their cosines."""
    k = min(_NEIGHBOURS, len(features) - 1)
    rows = nearest_others(features, k)
    units = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    cosines = np.empty(rows.shape)
    for start in range(0, len(rows), 256):
        part = slice(start, start + 256)
        cosines[part] = np.einsum("nd,nkd->nk", units[part], units[rows[part]])
    return rows, cosines


def of_others(
    neighbours: tuple[NDArray[np.intp], NDArray[np.float64]], groups: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return at most 20 neighbours of each photo that are of other products, nearest first; −1 where there are no more."""
    rows, cosines = neighbours
    foreign = groups[rows] != groups[:, None]
    order = np.argsort(~foreign, axis=1, kind="stable")[:, :_USED]
    kept = np.take_along_axis(foreign, order, 1)
    return np.where(kept, np.take_along_axis(rows, order, 1), -1), np.take_along_axis(cosines, order, 1)

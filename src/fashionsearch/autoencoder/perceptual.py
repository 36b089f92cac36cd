"""Perceptual targets: how photos look to a network with ImageNet weights, which an autoencoder must tell beside pixels."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.backbones import create_backbone
from fashionsearch.cache import EmbeddingCache
from fashionsearch.images import Images

_LEAST_SPREAD = 1e-6  # below it all photos are alike, and only rounding differs


class PerceptualTargets:
    """Embeddings of photos by the frozen `efficientnet_lite0` with its ImageNet weights, at its own 224 pixels.

    They are unit vectors, centred on those of the training photos and scaled so that the mean square of their numbers there
    is 1: a constant prediction has an error of 1. A photo is embedded once, when it is first asked for, in float32 and by
    way of the embedding cache. Features of a frozen network as what to reconstruct:
    Johnson et al. 2016, arXiv:1603.08155; from the code and not from a drawing, as Wei et al. 2022, arXiv:2112.09133.

    Args:
        images: the training photos, in a form that can be gone through more than once.
        device: of the network.
        batch_size: images a forward pass; None is chosen from the device.
        progress: show bars.

    Attributes:
        dim: length of a target.
        fingerprint: names the network, in float32, and its preprocessing.

    Examples:
        >>> import fashionsearch as fs
        >>> PerceptualTargets(fs.datasets.make_catalogue(8, seed=0).images).of_training().shape
        (8, 1280)
    """

    def __init__(
        self, images: Images, *, device: str = "auto", batch_size: int | None = None, progress: bool = False
    ) -> None:
        self._images = images
        self._backbone = create_backbone(
            "efficientnet_lite0", device=device, precision="fp32", batch_size=batch_size, progress=progress
        )
        self.dim, self.fingerprint = self._backbone.dim, self._backbone.fingerprint

    def of_training(self) -> NDArray[np.float16]:
        """Return the targets of the training photos, (n, dim).

        Raises:
            ImageError: if an image can't be read.
            DataError: if there are none.
        """
        return self._fitted[0]

    def of(self, images: Images) -> NDArray[np.float16]:
        """Return the targets of other photos, (n, dim), centred and scaled as the training photos are."""
        _, mean, spread = self._fitted
        vectors = self._unit_vectors(images)
        vectors -= mean
        vectors /= spread
        return vectors.astype(np.float16)

    @cached_property
    def _fitted(self) -> tuple[NDArray[np.float16], NDArray[np.float32], float]:
        vectors = self._unit_vectors(self._images)
        if not len(vectors):
            raise errors.DataError("there are 0 training photos, and at least 2 are needed; give more")
        mean = vectors.mean(axis=0)
        vectors -= mean
        # The square of a length, since a temporary array of squares would be as large as the vectors.
        spread = float(np.sqrt(np.einsum("nd,nd->", vectors, vectors) / vectors.size))
        if spread < _LEAST_SPREAD:
            vectors[:], spread = 0, 1.0
        vectors /= spread
        return vectors.astype(np.float16), mean, spread

    def _unit_vectors(self, images: Images) -> NDArray[np.float32]:
        with EmbeddingCache() as cache:
            vectors = self._backbone.embed(images, cache=cache)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

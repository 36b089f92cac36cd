"""What photos look like to a network that knows photos: what an autoencoder must tell beside their pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.backbones import create_backbone
from fashionsearch.cache import EmbeddingCache
from fashionsearch.images import Images


class Looks:
    """Photos as the frozen `efficientnet_lite0` with its ImageNet weights sees them, at its own 224 pixels.

    Its embeddings, as unit vectors, are centred on those of the training photos and scaled so that the mean square of
    their numbers there is 1: who says nothing of how a photo looks is wrong by 1. A photo is embedded once, by way of the
    embedding cache. Features of a frozen network as what to reconstruct: Johnson et al. 2016, arXiv:1603.08155; from the
    code and not from a drawing, as Wei et al. 2022, arXiv:2112.09133.

    Args:
        images: the training photos.
        device: of the network.
        batch_size: images a forward pass; None is chosen from the device.
        progress: show bars.

    Attributes:
        training: (n, dim) float32, of the training photos.
        fingerprint: names the network and its preprocessing.

    Raises:
        ImageError: if an image can't be read.
        DataError: if there are none.

    Examples:
        >>> import fashionsearch as fs
        >>> looks = Looks(fs.datasets.make_catalogue(8, seed=0).images)
        >>> looks.training.shape, round(float((looks.training**2).mean()), 3)
        ((8, 1280), 1.0)
    """

    def __init__(
        self, images: Images, *, device: str = "auto", batch_size: int | None = None, progress: bool = False
    ) -> None:
        self._backbone = create_backbone(
            "efficientnet_lite0", device=device, batch_size=batch_size, progress=progress
        )
        self.fingerprint = self._backbone.fingerprint
        vectors = self._unit_vectors(images)
        if not len(vectors):
            raise errors.DataError("there are 0 training photos, and at least 2 are needed; give more")
        self._mean = vectors.mean(axis=0, keepdims=True)
        # Photos that all look the same have no spread to scale by.
        self._spread = float(np.sqrt(np.square(vectors - self._mean).mean())) or 1.0
        self.training = self._scaled(vectors)

    def of(self, images: Images) -> NDArray[np.float32]:
        """Return how other photos look, (n, dim) float32, centred and scaled as the training photos are."""
        return self._scaled(self._unit_vectors(images))

    def _unit_vectors(self, images: Images) -> NDArray[np.float32]:
        with EmbeddingCache() as cache:
            vectors = self._backbone.embed(images, cache=cache)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)

    def _scaled(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray((vectors - self._mean) / self._spread, dtype=np.float32)

"""What `Classifier` and `Autoencoder` share: options, a backbone in use, and how options are kept in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import sklearn.exceptions
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from torch import nn

from fashionsearch import errors, storage
from fashionsearch.backbones import Backbone, create_backbone
from fashionsearch.cache import EmbeddingCache
from fashionsearch.embedding import Batch
from fashionsearch.images import Images, count, iterate
from fashionsearch.images.decoding import Image
from fashionsearch.training import FineTuning


class _NotFittedError(errors.NotFittedError, sklearn.exceptions.NotFittedError):
    """Also what scikit-learn's own tools expect of an estimator."""


class ImageEstimator(BaseEstimator):
    """A scikit-learn estimator whose samples are images, around one backbone.

    Attributes:
        backbone_: the `Backbone` in use, once fitted.
    """

    backbone: str
    weights: str | os.PathLike[str] | None
    training: FineTuning | None
    image_size: int | tuple[int, int] | None
    device: str
    precision: str
    runtime: str
    batch_size: int | None
    random_state: int | None
    progress: bool
    backbone_: Backbone
    _fit_call = "fit(images)"

    def _check_training(self) -> None:
        if self.training is not None and not isinstance(self.training, FineTuning):
            raise errors.InputError(f"training={self.training!r} is neither None nor a FineTuning(...)")

    def _create_backbone(self, random_state: int | None, name: str | None = None) -> Backbone:
        return create_backbone(
            name or self.backbone,
            weights=self.weights,
            image_size=self.image_size,
            device=self.device,
            precision=self.precision,
            runtime=self.runtime,
            batch_size=self.batch_size,
            random_state=random_state,
            progress=self.progress,
        )

    def _trained(self, backbone: Backbone, module: nn.Module | None = None) -> Backbone:
        """Return a backbone around the same network, by now trained, or around a module that holds it."""
        return backbone.variant(
            module=backbone.module
            if module is None
            else module,  # given, also where it is the same: it has learned
            origin="trained" if backbone.origin is None else f"fine-tuned from {backbone.origin}",
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "backbone_")

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            name = type(self).__name__
            raise _NotFittedError(f"this {name} has not learned yet; call {self._fit_call}, or {name}.load")

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        self._check_fitted()
        return self.backbone_.dim

    def embed(self, images: Images) -> NDArray[np.float32]:
        """Return embeddings, (n, dim) float32.

        Raises:
            NotFittedError: before `fit`.
            ImageError: if an image can't be read.
        """
        self._check_fitted()
        return self.backbone_.embed(images)

    def embed_batches(
        self, images: Images, *, on_error: str = "raise", cache: EmbeddingCache | None = None
    ) -> Iterator[Batch]:
        """Embed images piece by piece, as `Backbone.embed_batches` does.

        Raises:
            NotFittedError: before `fit`.
        """
        self._check_fitted()
        return self.backbone_.embed_batches(images, on_error=on_error, cache=cache)

    def identity(self) -> dict[str, Any]:
        """Return by what the embeddings are recognised: those of the backbone.

        Raises:
            NotFittedError: before `fit`.
        """
        self._check_fitted()
        return self.backbone_.identity()

    def writers(self, prefix: str = "") -> dict[str, storage.Writer]:
        """Return what `storage.save` needs to keep this encoder, as part of another folder if there is a prefix."""
        self._check_fitted()
        return self.backbone_.writers(prefix)

    def _saved_options(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON holds them."""
        options: dict[str, Any] = self.get_params(deep=False)
        options["weights"] = None if self.weights is None else os.fspath(self.weights)
        options["training"] = None if self.training is None else self.training.to_dict()
        if isinstance(options.get("class_weight"), Mapping):
            options["class_weight"] = {
                "classes": list(options["class_weight"]),
                "weights": list(options["class_weight"].values()),
            }
        return options


def read_options(saved: Mapping[str, Any], placed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments from a saved folder, with device and the like as they are now."""
    options = {**saved, **placed}
    if isinstance(options["image_size"], list):
        options["image_size"] = tuple(options["image_size"])
    if isinstance(options.get("class_weight"), dict):
        options["class_weight"] = dict(
            zip(options["class_weight"]["classes"], options["class_weight"]["weights"], strict=True)
        )
    if options["training"] is not None:
        options["training"] = FineTuning.from_dict(options["training"])
    return options


def repeatable(images: Images) -> Images:
    """Return images that can be gone through more than once: an iterator is read into a list."""
    kept: list[Image] | None = list(iterate(images)) if count(images) is None else None
    return images if kept is None else kept

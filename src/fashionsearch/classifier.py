"""`Classifier`: tags photos, as a scikit-learn estimator whose samples are images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import sklearn.exceptions
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import type_of_target

from fashionsearch import errors, metrics, storage
from fashionsearch.backbones import Backbone, create_backbone
from fashionsearch.backbones.base import read_backbone
from fashionsearch.cache import EmbeddingCache
from fashionsearch.head import LinearHead, fit_head
from fashionsearch.images import Images, count
from fashionsearch.results import Evaluation


class _NotFittedError(errors.NotFittedError, sklearn.exceptions.NotFittedError):
    """Also what scikit-learn's own tools expect of an estimator."""


class Classifier(ClassifierMixin, BaseEstimator):
    """Tags photos: a linear head on the embeddings of a frozen backbone.

    The backbone sees each photo once: embeddings are cached on disk, keyed by the photo's bytes, the weights and the
    preprocessing. The head is a multinomial logistic regression whose regularisation is chosen on the validation part
    given to `fit`, or by cross-validation.

    It keeps scikit-learn's estimator contract, with images as samples: `clone`, `cross_val_score` and `GridSearchCV`
    work on it.

    Args:
        backbone: a name `create_backbone` knows.
        weights: "default", or a `.safetensors` or `.pth` file of the backbone's architecture.
        training: None, a frozen backbone; other ways of training come in a later version.
        image_size: side, or (height, width), in pixels; None is the backbone's own.
        class_weight: None, "balanced" (rare classes count as much as frequent ones) or class -> weight.
        device: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" (float32 on CPU), "fp32", "bf16" or "fp16".
        runtime: "auto", "torch" or "onnx".
        batch_size: images a forward pass; None is chosen from the device.
        random_state: of the cross-validation's folds; None takes the same ones each time.
        progress: show a bar once embedding takes over two seconds.

    Attributes:
        classes_: (c,) the classes, sorted, of the labels' own type.
        backbone_: the `Backbone` in use.
        head_: the `LinearHead`, weight (c, dim) and bias (c,) float32.
        history_: `History` of the regularisation strengths tried.

    Examples:
        >>> import fashionsearch as fs
        >>> train, validation, test = fs.datasets.make_catalogue(60, seed=0).split()
        >>> tagger = fs.Classifier("efficientnet_lite0", image_size=96, progress=False)
        >>> tagger = tagger.fit(train.images, train["masterCategory"])
        >>> tagger.predict(test.images).shape
        (12,)
    """

    def __init__(
        self,
        backbone: str = "efficientnet_lite0",
        *,
        weights: str | os.PathLike[str] | None = "default",
        training: None = None,
        image_size: int | tuple[int, int] | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        batch_size: int | None = None,
        random_state: int | None = None,
        progress: bool = True,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.training = training
        self.image_size = image_size
        self.class_weight = class_weight
        self.device = device
        self.precision = precision
        self.runtime = runtime
        self.batch_size = batch_size
        self.random_state = random_state
        self.progress = progress

    def fit(
        self, images: Images, labels: ArrayLike, *, validation: tuple[Images, ArrayLike] | None = None
    ) -> Classifier:
        """Learn to tag photos.

        Args:
            images: n images in any form.
            labels: (n,) their classes: strings, integers or booleans.
            validation: images and labels on which the regularisation is chosen; a class that `labels` lack is an
                error. None cross-validates within the training part.

        Returns:
            Itself.

        Raises:
            DataError: if there are not as many labels as images, labels are empty, or there is only one class.
            ImageError: if an image can't be read; nothing is changed.
            WeightsError: if the backbone's weights can't be had.
        """
        self._check_options()
        truth = _checked_labels(images, labels, "labels")
        classes, numbered = np.unique(truth, return_inverse=True)
        if len(classes) < 2:
            raise errors.DataError(
                f"all {len(truth)} labels are {str(classes[0])!r}; a classifier needs two classes or more"
            )
        class_weight = self._numbered_class_weight(classes)
        held_out = (
            None if validation is None else _checked_labels(validation[0], validation[1], "validation labels")
        )
        if held_out is not None and not np.isin(held_out, classes).all():
            strangers = sorted({str(label) for label in held_out[~np.isin(held_out, classes)]})
            raise errors.DataError(
                f"validation labels hold classes that no training photo has: {', '.join(strangers)}; "
                "leave those rows out or add such photos to the training part"
            )
        backbone = self._create_backbone()
        cache = EmbeddingCache()
        try:
            embeddings = _embedded(backbone, images, truth, cache)
            validation_part = None
            if validation is not None and held_out is not None:
                validation_part = (
                    _embedded(backbone, validation[0], held_out, cache),
                    np.searchsorted(classes, held_out),
                )
        finally:
            cache.close()
        head, history = fit_head(
            embeddings,
            numbered,
            validation=validation_part,
            class_weight=class_weight,
            random_state=self.random_state,
        )
        self.backbone_, self.head_, self.history_, self.classes_ = backbone, head, history, classes
        return self

    def _check_options(self) -> None:
        if self.training is not None:
            raise errors.InputError(
                f"training={self.training!r}: this version trains a head on a frozen backbone only; use training=None"
            )
        if self.weights is None:
            raise errors.InputError(
                "weights=None starts from scratch, and this version trains a head on a frozen backbone only, which would "
                "learn nothing from an untrained one; use weights='default' or a file of weights"
            )

    def _numbered_class_weight(self, classes: NDArray[Any]) -> str | dict[int, float] | None:
        if not isinstance(self.class_weight, Mapping):
            if self.class_weight not in (None, "balanced"):
                raise errors.InputError(
                    f"class_weight={self.class_weight!r} is not None, 'balanced' or a mapping of classes to weights"
                )
            return self.class_weight
        unknown = [key for key in self.class_weight if key not in classes.tolist()]
        if unknown:
            raise errors.InputError(
                f"class_weight names {unknown[0]!r}, which no label has; the classes are "
                f"{', '.join(str(label) for label in classes)}"
            )
        return {
            place: float(self.class_weight.get(label, 1.0)) for place, label in enumerate(classes.tolist())
        }

    def _create_backbone(self) -> Backbone:
        return create_backbone(
            self.backbone,
            weights=self.weights,
            image_size=self.image_size,
            device=self.device,
            precision=self.precision,
            runtime=self.runtime,
            batch_size=self.batch_size,
            random_state=self.random_state,
            progress=self.progress,
        )

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise _NotFittedError(
                "this Classifier has not learned yet; call fit(images, labels), or Classifier.load"
            )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "head_")

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        self._check_fitted()
        return self.backbone_.dim

    def embed(self, images: Images) -> NDArray[np.float32]:
        """Return the backbone's embeddings, (n, dim) float32.

        Raises:
            NotFittedError: before `fit`.
            ImageError: if an image can't be read.
        """
        self._check_fitted()
        return self.backbone_.embed(images)

    def predict_proba(self, images: Images) -> NDArray[np.float64]:
        """Return the probability of each class, (n, c) float64 in the order of `classes_`, rows adding up to 1.

        Raises:
            NotFittedError: before `fit`.
            ImageError: if an image can't be read.
        """
        self._check_fitted()
        return self.head_.probabilities(self.embed(images))

    def predict(self, images: Images) -> NDArray[Any]:
        """Return the most probable class of each image, (n,).

        Raises:
            NotFittedError: before `fit`.
            ImageError: if an image can't be read.
        """
        probabilities = self.predict_proba(images)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def score(
        self, images: Images, labels: ArrayLike, sample_weight: NDArray[np.floating] | None = None
    ) -> float:
        """Return the accuracy, the fraction of images whose predicted class is their label."""
        self._check_fitted()
        truth = _checked_labels(images, labels, "labels")
        return float(np.average(self.predict(images) == truth, weights=sample_weight))

    def evaluate(self, images: Images, labels: ArrayLike, *, min_support: int = 1) -> Evaluation:
        """Compare predictions with labels, with 95 % intervals.

        Args:
            images: n images in any form.
            labels: (n,) their true classes; one the classifier doesn't know counts as an error.
            min_support: classes with fewer examples get no AUC and are named.

        Returns:
            An `Evaluation`: accuracy; precision, recall and F1, macro and weighted; AUC; confusion; rows by class.

        Raises:
            NotFittedError: before `fit`.
            DataError: if there are not as many labels as images, or labels are empty.
            ImageError: if an image can't be read.
        """
        self._check_fitted()
        truth = _checked_labels(images, labels, "labels")
        probabilities = self.predict_proba(images)
        return metrics.evaluate(truth, probabilities, self.classes_, min_support=min_support)

    def save(self, folder: storage.PathLike) -> None:
        """Save backbone, head and options to a folder, atomically.

        Raises:
            NotFittedError: before `fit`.
            StorageError: if the folder holds something else or can't be written; what was there is unchanged.
        """
        self._check_fitted()
        options = self.get_params(deep=False)
        options["weights"] = None if self.weights is None else os.fspath(self.weights)
        if isinstance(self.class_weight, Mapping):
            options["class_weight"] = {
                "classes": list(self.class_weight),
                "weights": list(self.class_weight.values()),
            }
        config = {
            "options": options,
            "classes": self.classes_.tolist(),
            "classes_kind": self.classes_.dtype.kind,
            "history": [dict(row) for row in self.history_.rows],
        }
        head = {"weight": self.head_.weight, "bias": self.head_.bias}
        files = {
            "classifier.json": storage.write_json(config),
            "head.safetensors": storage.write_arrays(head),
            **self.backbone_.writers(),
        }
        storage.save(folder, "classifier", files)

    @classmethod
    def load(
        cls,
        folder: storage.PathLike,
        *,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        batch_size: int | None = None,
        progress: bool = True,
    ) -> Classifier:
        """Load what `save` wrote, without touching the network; predictions equal those before.

        Raises:
            StorageError: if the folder holds no classifier or is damaged.
            DeviceError: if the device isn't there.
        """
        from fashionsearch.results import History

        saved = storage.open_saved(folder, "classifier")
        config = saved.json("classifier.json")
        placed = {
            "device": device,
            "precision": precision,
            "runtime": runtime,
            "batch_size": batch_size,
            "progress": progress,
        }
        options = {**config["options"], **placed}
        if isinstance(options["image_size"], list):
            options["image_size"] = tuple(options["image_size"])
        if isinstance(options["class_weight"], dict):
            options["class_weight"] = dict(
                zip(options["class_weight"]["classes"], options["class_weight"]["weights"], strict=True)
            )
        self = cls(**options)
        head = saved.arrays("head.safetensors")
        self.backbone_ = read_backbone(saved, options=placed)
        self.head_ = LinearHead(head["weight"], head["bias"])
        self.classes_ = np.array(config["classes"], dtype=object if config["classes_kind"] == "O" else None)
        self.history_ = History(tuple(config["history"]))
        return self


def _checked_labels(images: Images, labels: ArrayLike, what: str) -> NDArray[Any]:
    try:
        truth = np.asarray(labels)
        empty = [i for i, label in enumerate(_plain_list(labels)) if _is_empty(label)]
    except (TypeError, ValueError) as error:
        raise errors.DataError(f"{what} can't be read as one label for each image: {error}") from error
    if truth.ndim != 1:
        raise errors.DataError(f"{what} have shape {truth.shape}; give one label for each image, (n,)")
    known = count(images)
    if known is not None and known != len(truth):
        raise errors.DataError(
            f"there are {known} images and {len(truth)} {what}; give one label for each image"
        )
    if not len(truth):
        raise errors.DataError(f"there are no {what}; give at least one image with its label")
    if empty:
        raise errors.DataError(
            f"{len(empty)} of {len(truth)} {what} are empty, the first at position {empty[0]}; leave those rows out, "
            "for example table[table['label'] != '']"
        )
    try:
        kind = type_of_target(truth)
    except (TypeError, ValueError) as error:
        raise errors.DataError(f"{what} are not classes ({error}); give strings or integers") from error
    if kind not in ("binary", "multiclass"):
        raise errors.DataError(
            f"{what} of dtype {truth.dtype} are not classes ({kind}); give strings or integers"
        )
    return truth


def _plain_list(labels: ArrayLike) -> list[Any]:
    # Before numpy makes text of all of them, a missing label is still None or NaN.
    return labels.tolist() if isinstance(labels, np.ndarray) else list(labels)  # type: ignore[arg-type]


def _is_empty(label: object) -> bool:
    return (
        label is None
        or (isinstance(label, str) and not label)
        or (isinstance(label, float) and label != label)
    )


def _embedded(
    backbone: Backbone, images: Images, labels: NDArray[Any], cache: EmbeddingCache
) -> NDArray[np.float32]:
    embeddings = backbone.embed(images, cache=cache)
    if len(embeddings) != len(labels):
        raise errors.DataError(
            f"there are {len(embeddings)} images and {len(labels)} labels; give one label for each image"
        )
    return embeddings

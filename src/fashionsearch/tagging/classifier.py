"""`Classifier`: tags photos, as a scikit-learn estimator whose samples are images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin

from fashionsearch import errors, metrics, storage
from fashionsearch.backbones import Backbone
from fashionsearch.backbones.reading import read_backbone
from fashionsearch.estimator import ImageEstimator, read_options, repeatable
from fashionsearch.images import Images, iterate, read_image
from fashionsearch.images.decoding import Image
from fashionsearch.results import Evaluation, History
from fashionsearch.tagging.explanation import grad_cam
from fashionsearch.tagging.head import LinearHead
from fashionsearch.tagging.linear_probe import Labelled, fit_frozen_head
from fashionsearch.targets import (
    checked_labels,
    class_balance,
    held_out_labels,
    numbered_class_weight,
    warn_of_unseen,
)
from fashionsearch.training import FineTuning


class Classifier(ClassifierMixin, ImageEstimator):
    """Tags photos: a linear head on a backbone that is frozen, fine-tuned, or trained from scratch.

    Frozen (`training=None`), the backbone sees each photo once: embeddings are cached on disk, keyed by the photo's
    bytes, the weights and the preprocessing. The head is a multinomial logistic regression whose regularisation is
    chosen on the validation part given to `fit`, or by cross-validation. With `training=FineTuning(...)` the network
    learns too, from there on; with `weights=None` it learns from scratch.

    It keeps scikit-learn's estimator contract, with images as samples: `clone`, `cross_val_score` and `GridSearchCV`
    work on it.

    Args:
        backbone: a name `create_backbone` knows.
        weights: "default", a `.safetensors` or `.pth` file of the backbone's architecture, or None, from scratch.
        training: a `FineTuning`; None is a frozen backbone, or the recipe from scratch where `weights` is None.
        image_size: side, or (height, width), in pixels; None is the backbone's own.
        class_weight: None, "balanced" (rare classes count as much as frequent ones) or class -> weight.
        augmented_views: of each training photo, for a head on a frozen backbone: so many copies, turned, zoomed, shifted
            and mirrored a little, are embedded and cached too, and the head learns of the photo and its copies together.
            It costs as many more passes over the photos, once.
        device: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" (float32 on CPU), "fp32", "bf16" or "fp16".
        runtime: "auto", "torch" or "onnx".
        batch_size: images a forward pass; None is chosen from the device.
        random_state: of everything random: first weights, batches, augmentation, folds. None gives each training
            another seed, and the folds and augmented views always the same one.
        progress: show a bar once embedding takes over two seconds.

    Attributes:
        classes_: (c,) the classes, sorted, of the labels' own type.
        backbone_: the `Backbone` in use.
        head_: the `LinearHead`, weight (c, dim) and bias (c,) float32.
        history_: `History` of the regularisation strengths tried, or of the epochs.

    Examples:
        >>> import fashionsearch as fs
        >>> train, validation, test = fs.datasets.make_catalogue(60, seed=0).split()
        >>> tagger = fs.Classifier("efficientnet_lite0", image_size=96, progress=False)
        >>> tagger = tagger.fit(train.images, train["masterCategory"])
        >>> tagger.predict(test.images).shape
        (12,)
    """

    _fit_call = "fit(images, labels)"

    def __init__(
        self,
        backbone: str = "efficientnet_lite0",
        *,
        weights: str | os.PathLike[str] | None = "default",
        training: FineTuning | None = None,
        image_size: int | tuple[int, int] | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
        augmented_views: int = 0,
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
        self.augmented_views = augmented_views
        self.device = device
        self.precision = precision
        self.runtime = runtime
        self.batch_size = batch_size
        self.random_state = random_state
        self.progress = progress

    def fit(
        self,
        images: Images,
        labels: ArrayLike,
        *,
        validation: tuple[Images, ArrayLike] | None = None,
        checkpoints: str | os.PathLike[str] | None = None,
        loggers: Sequence[object] = (),
    ) -> Classifier:
        """Learn to tag photos.

        Args:
            images: n images in any form.
            labels: (n,) their classes: strings, integers or booleans.
            validation: images and labels on which the regularisation, or the best epoch, is chosen; a class that
                `labels` lack is an error. What a network that learned says is calibrated on it too. With None the head
                is cross-validated within the training part, and a network learns for all its epochs.
            checkpoints: a folder that is written after every epoch; the same call goes on from what is there, and ends
                in the same weights as if it had never been interrupted. Only where a network learns.
            loggers: Lightning loggers, such as TensorBoardLogger, that hear of every epoch. Only where a network learns.

        Returns:
            Itself.

        Raises:
            DataError: if there are not as many labels as images, labels are empty, or there is only one class.
            ImageError: if an image can't be read; nothing is changed.
            WeightsError: if the backbone's weights can't be had.
            TrainingError: if the loss is not a number any more.
            StorageError: if checkpoints can't be written.
        """
        options = self._learning()
        truth = checked_labels(images, labels, "labels")
        classes, numbered = np.unique(truth, return_inverse=True)
        if len(classes) < 2:
            raise errors.DataError(
                f"all {len(truth)} labels are {str(classes[0])!r}; a classifier needs two classes or more"
            )
        held_out = None if validation is None else held_out_labels(validation, classes)
        class_weight = numbered_class_weight(self.class_weight, classes, "class_weight")
        if options is None:
            if checkpoints is not None or loggers:
                raise errors.InputError(
                    "checkpoints and loggers are for networks that learn, and training=None fits a head on a frozen one; "
                    "leave them out, or use training=FineTuning()"
                )
            backbone = self._create_backbone(self.random_state)
            head, history = fit_frozen_head(
                backbone,
                repeatable(images) if self.augmented_views else images,
                numbered,
                held_out,
                class_weight=class_weight,
                augmented_views=self.augmented_views,
                random_state=self.random_state,
            )
        else:
            if held_out is not None:
                warn_of_unseen(classes[np.setdiff1d(numbered, held_out[1])], len(classes))
            if options.class_weights is not None:
                class_weight = numbered_class_weight(options.class_weights, classes, "class_weights")
            backbone, head, history = self._train(
                options, images, numbered, held_out, class_weight, checkpoints, loggers, classes
            )
        self.backbone_, self.head_, self.history_, self.classes_ = backbone, head, history, classes
        return self

    def _learning(self) -> FineTuning | None:
        """Return the options of a network that learns, or None for a head on a frozen one."""
        self._check_training()
        views = self.augmented_views
        if not isinstance(views, Integral) or isinstance(views, bool) or views < 0:
            raise errors.InputError(f"augmented_views={views!r} is not a whole number from 0 up")
        if self.training is None and self.weights is not None:
            return None
        if views:
            raise errors.InputError(
                f"augmented_views={views} are for a head on a frozen backbone; a network that learns sees its photos "
                "augmented in every epoch: leave it out, and see FineTuning(augment=...)"
            )
        options = self.training or FineTuning()
        if self.weights is None and options.unfreeze not in (None, "all"):
            raise errors.InputError(
                f"unfreeze={options.unfreeze!r} keeps layers as they are, and with weights=None they are random; use "
                "unfreeze='all', weights='default' or a file of weights"
            )
        if options.class_weights is not None and self.class_weight is not None:
            raise errors.InputError(
                "class_weight and training.class_weights are both given; leave one of them out"
            )
        return options

    def _train(
        self,
        options: FineTuning,
        images: Images,
        numbered: NDArray[np.intp],
        held_out: Labelled | None,
        class_weight: str | Mapping[int, float] | None,
        checkpoints: str | os.PathLike[str] | None,
        loggers: Sequence[object],
        classes: NDArray[Any],
    ) -> tuple[Backbone, LinearHead, History]:
        from fashionsearch.tagging.distillation import open_teacher
        from fashionsearch.tagging.objective import TaggingLearner
        from fashionsearch.training.fit import train_on
        from fashionsearch.training.objectives import is_normalised
        from fashionsearch.training.options import recipe_for
        from fashionsearch.training.run_folder import open_run

        images = repeatable(images)
        if held_out is not None:
            held_out = repeatable(held_out[0]), held_out[1]
        with open_run(checkpoints, self.random_state) as run:
            backbone = self._create_backbone(run.seed)
            options = options.recipe(recipe_for(self.weights), normalised=is_normalised(backbone.module))
            teacher = open_teacher(
                options, classes, lambda folder: Classifier.load(folder, device="cpu", progress=False)
            )
            balance = class_balance(numbered, class_weight)
            head = None
            if self.weights is not None:
                head, _ = fit_frozen_head(
                    backbone,
                    images,
                    numbered,
                    held_out,
                    class_weight=class_weight,
                    random_state=self.random_state,
                )
            with backbone.placement.fork_rng():
                torch.manual_seed(run.seed)
                learner = TaggingLearner(
                    backbone.module,
                    backbone.preprocess,
                    dim=backbone.dim,
                    classes=len(classes),
                    options=options,
                    class_weights=balance,
                    head=head,
                    teacher=teacher,
                )
            history = train_on(
                run,
                learner,
                backbone,
                (images, numbered),
                held_out,
                options,
                decided_by={"class_weights": balance.tolist(), "teacher": teacher and teacher.fingerprint},
                loggers=loggers,
                progress=self.progress,
            )
        trained, head = self._trained(backbone), learner.linear_head()
        if held_out is not None:
            # Smoothed and blended labels teach a network to be less sure than it may be. Always in torch: a runtime that
            # is there or not would round otherwise, and its export is none of this call's business.
            embedded = backbone.variant(module=backbone.module, runtime="torch").embed(held_out[0])
            head = head.calibrated(embedded, held_out[1])
        return trained, head, history

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
        truth = checked_labels(images, labels, "labels")
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
        truth = checked_labels(images, labels, "labels")
        probabilities = self.predict_proba(images)
        return metrics.evaluate(truth, probabilities, self.classes_, min_support=min_support)

    def explain(self, image: Image, *, label: Any = None) -> NDArray[np.float32]:
        """Return where in a photo the evidence for a class lies, by Grad-CAM; `plots.explanation` lays it on the photo.

        Args:
            image: one image in any form.
            label: the class to explain; None is the predicted one.

        Returns:
            (H, W) float32 in [0, 1], as large as the photo.

        Raises:
            NotFittedError: before `fit`.
            InputError: if there is more than one image, the label isn't a class, or the backbone isn't convolutional.
            ImageError: if the image can't be read.
        """
        self._check_fitted()
        given = list(islice(iterate(image), 2))
        if len(given) != 1:
            raise errors.InputError("explain takes one image; call it for each of several")
        photo = read_image(given[0])
        if label is None:
            place = int(self.predict_proba(photo)[0].argmax())
        elif label in self.classes_.tolist():
            place = self.classes_.tolist().index(label)
        else:
            raise errors.InputError(
                f"label={label!r} is not a class; the classes are {', '.join(str(known) for known in self.classes_)}."
                + errors.did_you_mean(label, self.classes_)
            )
        return grad_cam(self.backbone_, self.head_, photo, place)

    def save(self, folder: storage.PathLike) -> None:
        """Save backbone, head and options to a folder, atomically.

        Raises:
            NotFittedError: before `fit`.
            StorageError: if the folder holds something else or can't be written; what was there is unchanged.
        """
        self._check_fitted()
        config = {
            "options": self._saved_options(),
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
        saved = storage.open_saved(folder, "classifier")
        config = saved.json("classifier.json")
        placed = {
            "device": device,
            "precision": precision,
            "runtime": runtime,
            "batch_size": batch_size,
            "progress": progress,
        }
        self = cls(**read_options(config["options"], placed))
        head = saved.arrays("head.safetensors")
        self.backbone_ = read_backbone(saved, options=placed)
        self.head_ = LinearHead(head["weight"], head["bias"])
        self.classes_ = np.array(config["classes"], dtype=object if config["classes_kind"] == "O" else None)
        self.history_ = History(tuple(config["history"]))
        return self

"""`Classifier`: tags photos, as a scikit-learn estimator whose samples are images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.estimator import ImageEstimator, open_backbone, readable, without_unreadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from fashionsearch import storage
    from fashionsearch.backbones import Backbone
    from fashionsearch.device import Execution
    from fashionsearch.hub import Card
    from fashionsearch.images import Images
    from fashionsearch.images.decoding import Image
    from fashionsearch.results import Evaluation, History
    from fashionsearch.tagging.head import LinearHead
    from fashionsearch.training import FineTuning


class Classifier(ImageEstimator):
    """Tags photos: a linear head on a backbone that is frozen, fine-tuned, or trained from scratch.

    Frozen (`training=None`), the backbone sees each photo once: embeddings are cached on disk, keyed by the photo's
    bytes, the weights and the preprocessing. The head is a multinomial logistic regression whose regularisation is
    chosen on the validation part given to `fit`, or by cross-validation. With `training=FineTuning(...)` the network
    learns too, from there on; with `weights=None` it learns from scratch.

    It keeps scikit-learn's estimator contract, with images as samples: `clone`, `cross_val_score` and `GridSearchCV`
    work on it.

    Args:
        backbone: a name `create_backbone` knows, or a `Backbone`, whose weights are taken as they are; it stays as it
            is, and `weights` to `batch_size` below are its own.
        weights: "default", a `.safetensors` or `.pth` file of the backbone's architecture, or None, from scratch.
        training: a `FineTuning`; None is a frozen backbone, or the recipe from scratch where `weights` is None.
        image_size: side, or (height, width), in pixels; None is the backbone's own.
        resize: "squash" the whole photo, "pad" it with white, or "crop" its middle.
        class_weight: None, "balanced" (rare classes count as much as frequent ones) or class -> weight.
        augmented_views: of each training photo, for a head on a frozen backbone: so many copies, turned, zoomed, shifted
            and mirrored a little, are embedded and cached too, and the head learns of the photo and its copies together.
            It costs as many more passes over the photos, once.
        device: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" (float32 on CPU), "fp32", "bf16" or "fp16".
        runtime: "auto", "torch", "onnx" or "openvino".
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
        >>> classifier = fs.Classifier("efficientnet_lite0", image_size=96, progress=False)
        >>> classifier = classifier.fit(train.images, train["masterCategory"])
        >>> classifier.predict(test.images).shape
        (12,)
    """

    head_: LinearHead
    history_: History
    classes_: NDArray[Any]
    _fit_call = "fit(images, labels)"
    _kind = "classifier"
    _estimator_type = "classifier"

    def __init__(
        self,
        backbone: str | Backbone = "efficientnet_lite0",
        *,
        weights: str | os.PathLike[str] | None = "default",
        training: FineTuning | None = None,
        image_size: int | tuple[int, int] | None = None,
        resize: str = "squash",
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
        self.resize = resize
        self.class_weight = class_weight
        self.augmented_views = augmented_views
        self.device = device
        self.precision = precision
        self.runtime = runtime
        self.batch_size = batch_size
        self.random_state = random_state
        self.progress = progress

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags

        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        tags.target_tags.required = True
        return tags

    def fit(
        self,
        images: Images,
        labels: ArrayLike,
        *,
        validation: tuple[Images, ArrayLike] | None = None,
        checkpoints: str | os.PathLike[str] | None = None,
        loggers: Sequence[object] = (),
        on_error: str = "raise",
    ) -> Classifier:
        """Learn to tag photos.

        Args:
            images: n images in any form.
            labels: (n,) their classes: text, whole numbers or booleans.
            validation: images and labels on which the regularisation, or the best epoch, is chosen; a class that
                `labels` lack is an error. What a network that learned says is calibrated on it too. With None the head
                is cross-validated within the training part, and a network learns for all its epochs.
            checkpoints: a folder that is written after every epoch; the same call resumes from what is there, and ends
                in the same weights as if it had never been interrupted. Only where a network learns.
            loggers: Lightning loggers, such as TensorBoardLogger, that hear of every epoch. Only where a network learns.
            on_error: "raise" at an image that can't be read, or "skip" such images and their labels with a
                `DataWarning` that names them.

        Returns:
            Itself.

        Raises:
            DataError: if there are not as many labels as images, labels are empty or of several kinds, or there is only
                one class.
            ImageError: if an image can't be read; nothing is changed.
            WeightsError: if the backbone's weights can't be had, or its embeddings hold NaN or infinity.
            TrainingError: if the loss is not a number any more.
            StorageError: if checkpoints can't be written.
        """
        from fashionsearch.images import repeatable
        from fashionsearch.tagging.linear_probe import fit_linear_probe
        from fashionsearch.tagging.regime import refuse_run, training_options
        from fashionsearch.targets import LABEL, class_weights, encode, make_targets

        options = training_options(self, self.augmented_views)
        if options is not None and options.class_weights is not None and self.class_weight is not None:
            raise errors.InputError(
                "class_weight and training.class_weights are both given; leave one of them out"
            )
        images, labels = readable(images, labels, on_error)
        targets = make_targets(images, {LABEL: labels})
        classes = targets.classes[LABEL]
        validated = None
        if validation is not None:
            rest, rest_labels = readable(*validation, on_error, "validation labels")
            validated = rest, encode(rest, {LABEL: rest_labels}, targets.classes)
        weights = class_weights(targets.of(LABEL), classes, self.class_weight, "class_weight")
        if options is None:
            refuse_run(checkpoints, loggers)
            backbone = open_backbone(self, self.random_state)
            head, history = fit_linear_probe(
                backbone,
                repeatable(images) if self.augmented_views else images,
                targets,
                validated,
                class_weights={LABEL: weights},
                augmented_views=int(self.augmented_views),
                random_state=self.random_state,
            )[LABEL]
        else:
            from fashionsearch.tagging.fine_tuning import fine_tune_classifier

            if options.class_weights is not None:
                weights = class_weights(targets.of(LABEL), classes, options.class_weights, "class_weights")
            backbone, head, history = fine_tune_classifier(
                self,
                options,
                images,
                targets,
                validated,
                class_weights=weights,
                load_teacher=lambda folder: Classifier.load(folder, device="cpu", progress=False),
                checkpoints=checkpoints,
                loggers=loggers,
            )
        self.backbone_, self.head_, self.history_, self.classes_ = backbone, head, history, classes
        return self

    def predict_proba(self, images: Images, *, on_error: str = "raise") -> NDArray[np.float64]:
        """Return the probability of each class, (n, c) float64 in the order of `classes_`, rows adding up to 1.

        Args:
            images: n images in any form.
            on_error: "raise" at an image that can't be read, or "skip" such images with a `DataWarning` that names them.

        Raises:
            NotFittedError: before `fit`.
            ImageError: if an image can't be read.
        """
        self._check_fitted()
        return self.head_.probabilities(self.embed(images, on_error=on_error))

    def predict(self, images: Images, *, on_error: str = "raise") -> NDArray[Any]:
        """Return the most probable class of each image, (n,).

        Args:
            images: n images in any form.
            on_error: "raise" at an image that can't be read, or "skip" such images with a `DataWarning` that names them.

        Raises:
            NotFittedError: before `fit`.
            ImageError: if an image can't be read.
        """
        best = self.predict_proba(images, on_error=on_error).argmax(axis=1)
        classes: NDArray[Any] = self.classes_[best]
        return classes

    def score(
        self,
        images: Images,
        labels: ArrayLike,
        sample_weight: NDArray[np.floating] | None = None,
        *,
        on_error: str = "raise",
    ) -> float:
        """Return the accuracy, the fraction of images whose predicted class is their label.

        Photos that a network which ships with the library learned from are left out with a `DataWarning`.

        Args:
            images: n images in any form.
            labels: (n,) their true classes.
            sample_weight: (n,) what each image counts; None is the same for all.
            on_error: "raise" at an image that can't be read, or "skip" such images, with their labels and weights and a
                `DataWarning` that names them.
        """
        import numpy as np

        from fashionsearch.encoder import check_on_error
        from fashionsearch.images import iterate, repeatable
        from fashionsearch.pretrained import without_learned
        from fashionsearch.targets import checked_labels

        self._check_fitted()
        images = repeatable(images)
        columns = {"labels": checked_labels(images, labels, "labels")}
        if sample_weight is not None:
            columns["weights"] = np.asarray(sample_weight)
            if columns["weights"].shape != columns["labels"].shape:
                raise errors.DataError(
                    f"there are {len(columns['labels'])} images, and sample_weight has shape {columns['weights'].shape}; "
                    "give one weight for each image"
                )
        if on_error != "raise":
            check_on_error(on_error)
            images, kept = without_unreadable(list(iterate(images)), "labels")
            columns = {name: column[kept] for name, column in columns.items()}
        images, columns = without_learned(self, images, columns, "the score")
        return float(np.average(self.predict(images) == columns["labels"], weights=columns.get("weights")))

    def evaluate(
        self, images: Images, labels: ArrayLike, *, min_support: int = 1, on_error: str = "raise"
    ) -> Evaluation:
        """Compare predictions with labels, with 95 % intervals.

        Args:
            images: n images in any form.
            labels: (n,) their true classes; one the classifier doesn't know counts as an error.
            min_support: classes with fewer examples get no AUC and are named.
            on_error: "raise" at an image that can't be read, or "skip" such images and their labels with a
                `DataWarning` that names them.

        Returns:
            An `Evaluation`: accuracy; precision, recall and F1, macro and weighted; AUC; confusion; rows by class.

        Raises:
            NotFittedError: before `fit`.
            DataError: if there are not as many labels as images, or labels are empty, or a network that ships with the
                library learned from all of the photos.
            ImageError: if an image can't be read.
        """
        from fashionsearch import metrics
        from fashionsearch.pretrained import without_learned
        from fashionsearch.targets import checked_labels

        self._check_fitted()
        images, labels = readable(images, labels, on_error)
        columns = {"labels": checked_labels(images, labels, "labels")}
        images, columns = without_learned(self, images, columns, "the evaluation")
        return metrics.evaluate(
            columns["labels"], self.predict_proba(images), self.classes_, min_support=min_support
        )

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
        from fashionsearch.images import iterate, read_image
        from fashionsearch.tagging.explanation import grad_cam

        self._check_fitted()
        given = list(islice(iterate(image), 2))
        if len(given) != 1:
            raise errors.InputError("explain takes one image; call it for each of several")
        photo = read_image(given[0])
        if label is None:
            class_index = int(self.predict_proba(photo)[0].argmax())
        elif label in self.classes_.tolist():
            class_index = self.classes_.tolist().index(label)
        else:
            raise errors.InputError(
                f"label={label!r} is not a class; the classes are {', '.join(str(known) for known in self.classes_)}."
                + errors.did_you_mean(label, self.classes_)
            )
        return grad_cam(self.backbone_, self.head_, photo, class_index)

    def _card(self) -> Card:
        from fashionsearch.hub import Card

        return Card(
            f"A classifier of {len(self.classes_):,} classes of product photos, made with fashionsearch.",
            "image-classification",
            self._facts(),
            'classifier = {load}\nprint(classifier.predict("photo.jpg"))',
            {"class": [str(label) for label in self.classes_]},
        )

    def writers(self, prefix: str = "") -> dict[str, storage.Writer]:
        """Return what `storage.save` needs to keep this classifier, as part of another folder if there is a prefix."""
        from fashionsearch.tagging import snapshot

        self._check_fitted()
        return snapshot.writers(self, self.head_, self.classes_, self.history_, prefix)

    @classmethod
    def read(cls, saved: storage.Saved, execution: Execution, prefix: str = "") -> Classifier:
        """Read a classifier from a verified folder, as part of another if there is a prefix; see `ImageEstimator.read`."""
        from fashionsearch.saved_options import read_options
        from fashionsearch.tagging import snapshot

        config = saved.json(f"{prefix}classifier.json")
        self = cls(**read_options(config, cls, execution))
        backbone, head, classes, history = snapshot.read(saved, config, execution, prefix)
        self.backbone_, self.head_, self.classes_, self.history_ = backbone, head, classes, history
        return self

"""`Tagger`: several tags of a photo, and an embedding made for search, by one network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from fashionsearch import errors
from fashionsearch.estimator import open_backbone
from fashionsearch.tagging.answers import Labels
from fashionsearch.tagging.teaching import Teachable

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self

    from fashionsearch import storage
    from fashionsearch.backbones import Backbone
    from fashionsearch.device import Execution
    from fashionsearch.encoder import EmbedsText
    from fashionsearch.hub import Card
    from fashionsearch.images import Images
    from fashionsearch.results import History
    from fashionsearch.tagging.head import LinearHead
    from fashionsearch.tagging.taxonomy import Taxonomy
    from fashionsearch.tagging.zero_shot import Templates
    from fashionsearch.training import FineTuning, MetricLearning


class Tagger(Teachable):
    """Tags photos with several attributes, and embeds them so that photos of the same kind and look lie near each other.

    One embedding of 256 numbers and length 1 carries everything: each attribute's head is a function of it alone, so a
    stored embedding can be tagged again without its photo. It is made of the backbone's last layer and a histogram of
    colours, by layers that learn the tags and a metric loss together. Frozen (`training=None`), the backbone sees each
    photo once; with `training=FineTuning(...)` it learns too, on all attributes at once.

    Args:
        backbone: a name `create_backbone` knows, or a `Backbone`, whose weights are taken as they are; it stays as it
            is, and brings its own weights, image size, resizing, device, precision, runtime and batch size.
        embedding_dim: length of an embedding.
        weights: "default", a `.safetensors` or `.pth` file of the backbone's architecture, or None, from scratch.
        training: a `FineTuning`; None is a frozen backbone, or the recipe from scratch where `weights` is None.
        metric: a `MetricLearning`: which photos are to lie near each other. None is its default.
        taxonomy: attribute -> the coarser attribute above it, such as {"articleType": "subCategory"}, which keeps tags
            consistent; "auto" finds out from the labels, None has none.
        image_size: side, or (height, width), in pixels; None is the backbone's own.
        resize: "squash" the whole photo, "pad" it with white, or "crop" its middle.
        class_weight: None, or "balanced": in the loss of each attribute, rare classes count as much as frequent ones.
        augmented_views: of each training photo, for a frozen backbone, as for a `Classifier`.
        device: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" (float32 on CPU), "fp32", "bf16" or "fp16".
        runtime: "auto", "torch", "onnx" or "openvino".
        batch_size: images a forward pass; None is chosen from the device.
        random_state: of everything random.
        progress: show a bar once something takes over two seconds.

    Attributes:
        attributes_: the names of the attributes.
        classes_: attribute -> (c,) its classes, those that were learned sorted, then those added since.
        backbone_: the `Backbone` in use, its projection to the embedding included; of a zero-shot tagger, its encoder.
        heads_: attribute -> its `LinearHead`, calibrated.
        taxonomy_: which attribute is the coarser name of which.
        history_: `History` of the epochs.

    Examples:
        >>> import fashionsearch as fs
        >>> train, validation, test = fs.datasets.make_catalogue(80, seed=0).split()
        >>> tagger = fs.Tagger("efficientnet_lite0", image_size=64, progress=False)
        >>> names = "masterCategory", "baseColour"
        >>> labels = [{name: part[name] for name in names} for part in (train, validation)]
        >>> tagger = tagger.fit(train.images, labels[0], validation=(validation.images, labels[1]))
        >>> tagger.embed(test.images).shape
        (16, 256)
        >>> sorted(tagger.predict(test.images))
        ['baseColour', 'masterCategory']
    """

    history_: History
    _fit_call = "fit(images, {attribute: labels})"
    _kind = "tagger"

    def __init__(
        self,
        backbone: str | Backbone = "efficientnet_lite0",
        *,
        embedding_dim: int = 256,
        weights: str | os.PathLike[str] | None = "default",
        training: FineTuning | None = None,
        metric: MetricLearning | None = None,
        taxonomy: Mapping[str, str] | str | None = "auto",
        image_size: int | tuple[int, int] | None = None,
        resize: str = "squash",
        class_weight: str | None = None,
        augmented_views: int = 0,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        batch_size: int | None = None,
        random_state: int | None = None,
        progress: bool = True,
    ) -> None:
        self.backbone = backbone
        self.embedding_dim = embedding_dim
        self.weights = weights
        self.training = training
        self.metric = metric
        self.taxonomy = taxonomy
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

    @property
    def attributes_(self) -> tuple[str, ...]:
        """The names of the attributes."""
        self._check_fitted()
        return tuple(self._state.heads)

    @property
    def classes_(self) -> dict[str, NDArray[Any]]:
        """Attribute -> (c,) its classes."""
        self._check_fitted()
        return dict(self._state.targets.classes)

    @property
    def heads_(self) -> dict[str, LinearHead]:
        """Attribute -> its head, calibrated."""
        self._check_fitted()
        return dict(self._state.heads)

    @property
    def taxonomy_(self) -> Taxonomy:
        """Which attribute is the coarser name of which."""
        self._check_fitted()
        return self._state.taxonomy

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        revision: str | None = None,
        refresh: bool = False,
        rebuild: bool = False,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        batch_size: int | None = None,
        progress: bool = True,
    ) -> Self:
        """Return a tagger that ships with the library, or that `push_to_hub` pushed.

        One that ships needs no network, and on a CPU no torch. Of one on the hub, `Classifier.from_pretrained` says what is
        fetched and how it is checked.

        Args:
            name: "fashion", which ships, tags articleType, subCategory, masterCategory, baseColour, gender, usage and season;
                "user/name" is a repository of the hub.
            revision: of a repository: full hash of a commit, which pins it; or a branch or tag, which is looked up at the
                first call and remembered. None is the branch main. `commit_` says which commit it was.
            refresh: ask the hub what the revision is now.
            rebuild: of a repository: as for `load`; the network's graphs aren't even fetched then.
            device: as for the constructor.
            precision: likewise.
            runtime: likewise.
            batch_size: likewise.
            progress: likewise.

        Raises:
            WeightsError: if no network of this name ships with the library.
            InputError: if the name or the revision can't be one.
            HubError: if a repository isn't in the cache, and the hub lacks it, refuses or can't be reached.
            CorruptFileError: if a file isn't the one that shipped or was pushed.
            StorageError: if something else was saved there.
            MissingPackageError: if huggingface_hub isn't installed.

        Examples:
            >>> import fashionsearch as fs
            >>> tagger = fs.Tagger.from_pretrained("fashion")
            >>> sorted(tagger.attributes_)[:3]
            ['articleType', 'baseColour', 'gender']
        """
        from fashionsearch import hub

        if hub.is_hub_name(name):
            return super().from_pretrained(
                name,
                revision=revision,
                refresh=refresh,
                rebuild=rebuild,
                device=device,
                precision=precision,
                runtime=runtime,
                batch_size=batch_size,
                progress=progress,
            )
        if revision is not None or refresh:
            raise errors.InputError(
                f"{name!r:.60} ships with the library and has no revisions; leave revision and refresh out"
            )
        from fashionsearch.pretrained import open_shipped
        from fashionsearch.saved_options import read_history
        from fashionsearch.tagging.tagger_snapshot import read_shipped

        shipped = open_shipped(name)
        self = cls(
            name,
            device=device,
            precision=precision,
            runtime=runtime,
            batch_size=batch_size,
            progress=progress,
        )
        self.backbone_, self._state = open_backbone(self, None), read_shipped(shipped)
        self.history_ = read_history(shipped.config)
        return self

    def fit(
        self,
        images: Images,
        labels: Labels,
        *,
        validation: tuple[Images, Labels] | None = None,
        checkpoints: str | os.PathLike[str] | None = None,
        loggers: Sequence[object] = (),
        on_error: str = "raise",
    ) -> Tagger:
        """Learn to tag and to embed photos.

        Args:
            images: n images in any form.
            labels: attribute -> (n,) classes: text, whole numbers or booleans; or a data frame whose columns are the
                attributes. "", None and NaN are unknown, and left out of that attribute's loss.
            validation: images and labels that are not learned from: confidences are calibrated on them, and they set
                what counts as unfamiliar and choose the best epoch. With None, photos of the training part stand in.
            checkpoints: a folder that is written after every epoch; the same call resumes from what is there. Only where a
                network learns.
            loggers: Lightning loggers. Only where a network learns.
            on_error: "raise" at an image that can't be read, or "skip" such images and their labels with a
                `DataWarning` that names them.

        Returns:
            Itself.

        Raises:
            DataError: if an attribute has not one label for each image, fewer than two classes, or a class that is only in
                the validation part.
            InputError: if the taxonomy or the metric names an attribute that there isn't.
            MissingPackageError: if the metric's loss needs pytorch-metric-learning, and it isn't installed.
            ImageError: if an image can't be read; nothing is changed.
            WeightsError: if the backbone's weights can't be had, or its embeddings hold NaN or infinity.
            TrainingError: if the loss is not a number any more, or all embeddings have become the same.
            StorageError: if checkpoints can't be written.
        """
        from fashionsearch.tagging.learning import learn

        self.backbone_, self._state, self.history_ = learn(
            self, images, labels, validation, checkpoints=checkpoints, loggers=loggers, on_error=on_error
        )
        return self

    @classmethod
    def zero_shot(
        cls,
        encoder: EmbedsText,
        classes: Mapping[str, Sequence[str]],
        *,
        templates: Templates | None = None,
        scale: float = 100.0,
    ) -> Tagger:
        """Return a tagger that needs no training: a photo is what the name of a class lies nearest to, by the cosine.

        The encoder has learned from pairs of photos and texts, as CLIP has (Radford et al. 2021, arXiv:2103.00020). Its
        probabilities are not calibrated, so `evaluate` on labelled photos before trusting a confidence; no photo counts as
        unfamiliar, and no taxonomy is known. `add_class` and `correct` are refused: make it again with other names.

        Args:
            encoder: has dim, embed(images) -> (n, dim) and embed_text(texts) -> (n, dim). The tagger can be saved where
                it is a `Backbone`.
            classes: attribute -> the names of its classes, two or more, in words as people use them.
            templates: texts with {} where the name goes, whose embeddings are averaged, or attribute -> such texts; None
                is three that suit products.
            scale: what cosines are multiplied by before the softmax, above 0; CLIP learned 100.

        Raises:
            InputError: if the encoder has no embed_text or it returns another shape, an attribute has fewer than two
                names or one twice, or a template has no {}.

        Examples:
            >>> import numpy as np
            >>> import fashionsearch as fs
            >>> class MeanColour:
            ...     dim = 3
            ...     def embed(self, images):
            ...         return np.stack([image.mean(axis=(0, 1)) for image in images])
            ...     def embed_text(self, texts):
            ...         return [[1, 0, 0] if "red" in text else [0, 0, 1] for text in texts]
            >>> tagger = fs.Tagger.zero_shot(MeanColour(), {"colour": ["red", "blue"]})
            >>> tagger.predict(np.full((8, 8, 3), (200, 30, 30), np.uint8))["colour"].tolist()
            ['red']
        """
        from fashionsearch.results import History
        from fashionsearch.tagging.zero_shot import TEMPLATES, UnitEncoder, zero_shot_state

        state = zero_shot_state(encoder, classes, TEMPLATES if templates is None else templates, scale)
        self = cls(cast("Backbone", encoder))
        # A tagger asks no more of its backbone than of any encoder.
        self.backbone_, self._state, self.history_ = (
            cast("Backbone", UnitEncoder(encoder)),
            state,
            History(()),
        )
        return self

    def save(self, folder: storage.PathLike, *, onnx: bool = True) -> None:
        """Save all that was learned, and the options, to a folder, atomically.

        Args:
            folder: made where it is missing.
            onnx: beside trained weights save the network as a graph, by which it is loaded and tags without torch. Making it
                takes seconds, and a warning says where it can't be made.

        Raises:
            NotFittedError: before `fit`.
            StorageError: if the folder holds something else or can't be written, or the tagger is a zero-shot one around
                an object that can't be saved; what was there is unchanged.
        """
        if not self.writers():
            raise errors.StorageError(
                f"this tagger's encoder is a {type(self.backbone).__name__}, an object of your own, which can't be saved; "
                "make the tagger again by Tagger.zero_shot(encoder, classes)"
            )
        super().save(folder, onnx=onnx)

    def _card(self) -> Card:
        from fashionsearch.tagging.card import card

        state = self._state_now()
        named = [("encoder", str(self.identity()["name"])), ("dim of an embedding", f"{self.dim:,}")]
        return card(state, self._facts() if state.has_learned else named)

    def writers(self, prefix: str = "") -> dict[str, storage.Writer]:
        """Return what `storage.save` needs to keep this tagger, as part of another folder if there is a prefix.

        It is nothing where the encoder of a zero-shot tagger can't be kept.
        """
        from fashionsearch.tagging import tagger_snapshot

        return tagger_snapshot.writers(self, self._state_now(), self.history_, prefix)

    @classmethod
    def read(cls, saved: storage.Saved, execution: Execution, prefix: str = "") -> Tagger:
        """Read a tagger from a verified folder, as part of another if there is a prefix; see `ImageEstimator.read`."""
        from fashionsearch.saved_options import read_options
        from fashionsearch.tagging import tagger_snapshot

        config = saved.json(f"{prefix}tagger.json")
        self = cls(**read_options(config, cls, execution))
        self.backbone_, self._state, self.history_ = tagger_snapshot.read(saved, config, execution, prefix)
        return self

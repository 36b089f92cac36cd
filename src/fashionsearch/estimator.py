"""What `Classifier`, `Tagger` and `Autoencoder` share: scikit-learn's contract, a backbone, saving and loading.

scikit-learn asks for methods, not for a base class. They are written here, so that naming an estimator loads neither
scikit-learn nor torch; both are imported where they are used.
"""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.hub import Shareable
from fashionsearch.text_methods import embeds_text, only_with_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from torch import nn
    from typing_extensions import Self

    from fashionsearch import storage
    from fashionsearch.backbones import Backbone
    from fashionsearch.cache import EmbeddingCache
    from fashionsearch.device import Execution
    from fashionsearch.encoder import Batch
    from fashionsearch.images import Images
    from fashionsearch.images.decoding import Image
    from fashionsearch.results import History
    from fashionsearch.training import FineTuning


class ImageEstimator(Shareable):
    """A scikit-learn estimator whose samples are images, around one backbone.

    Attributes:
        backbone_: the `Backbone` in use, once fitted.
    """

    backbone: str | Backbone
    weights: str | os.PathLike[str] | None
    training: FineTuning | None
    image_size: int | tuple[int, int] | None
    resize: str
    device: str
    precision: str
    runtime: str
    batch_size: int | None
    random_state: int | None
    progress: bool
    backbone_: Backbone
    history_: History
    _fit_call = "fit(images)"

    @classmethod
    def _parameters(cls) -> dict[str, Any]:
        """Return the constructor's arguments with their defaults, by name."""
        parameters = inspect.signature(cls).parameters.values()
        return {parameter.name: parameter.default for parameter in parameters}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments, by name in alphabetical order.

        Args:
            deep: taken because scikit-learn gives it; no argument is an estimator with parameters of its own.
        """
        return {name: getattr(self, name) for name in sorted(self._parameters())}

    def set_params(self, **params: Any) -> Self:
        """Replace constructor arguments, and return itself.

        Raises:
            InputError: if there is no such argument; nothing is changed.
        """
        known = sorted(self._parameters())
        unknown = [name for name in params if name not in known]
        if unknown:
            raise errors.InputError(
                f"Invalid parameter {unknown[0]!r} for {type(self).__name__}; the parameters are {', '.join(known)}."
                + errors.did_you_mean(unknown[0], known)
            )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def _changed(self) -> dict[str, Any]:
        """Return the arguments that are not at their defaults."""
        given = {name: (getattr(self, name), default) for name, default in self._parameters().items()}
        return {name: value for name, (value, default) in given.items() if not _same(value, default)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._changed().items())})"

    def _repr_html_(self) -> str:
        from fashionsearch.results import html_table

        state = "fitted" if self.__sklearn_is_fitted__() else "not fitted"
        rows = [(name, repr(value)) for name, value in self._changed().items()]
        return html_table(("Parameter", "Value"), rows, f"{type(self).__name__}, {state}")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(two_d_array=False, string=True),
            non_deterministic=self.random_state is None,
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "backbone_")

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            name = type(self).__name__
            raise _not_fitted(f"this {name} has not learned yet; call {self._fit_call}, or {name}.load")

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        self._check_fitted()
        return self.backbone_.dim

    def embed(self, images: Images, *, on_error: str = "raise") -> NDArray[np.float32]:
        """Return embeddings, (n, dim) float32.

        Args:
            images: n images in any form.
            on_error: "raise" at an image that can't be read, or "skip" such images with a `DataWarning` that names them.

        Raises:
            NotFittedError: before `fit`.
            ImageError: if an image can't be read.
        """
        self._check_fitted()
        if on_error == "raise":
            return self.backbone_.embed(images)
        from fashionsearch.encoder import joined

        return joined(self.embed_batches(images, on_error=on_error), self.dim)

    def embed_batches(
        self, images: Images, *, on_error: str = "raise", cache: EmbeddingCache | None = None
    ) -> Iterator[Batch]:
        """Embed images piece by piece, as `Backbone.embed_batches` does.

        Raises:
            NotFittedError: before `fit`.
        """
        self._check_fitted()
        return self.backbone_.embed_batches(images, on_error=on_error, cache=cache)

    @only_with_texts(lambda estimator: embeds_text(getattr(estimator, "backbone_", None)))
    def embed_text(self, texts: str | Sequence[str]) -> NDArray[np.float32]:
        """Embed texts as the backbone does, (n, dim) float32; it is there where the backbone's own `embed_text` is."""
        return self.backbone_.embed_text(texts)

    def identity(self) -> dict[str, Any]:
        """Return by what the embeddings are recognised: the backbone's identity, of this estimator's kind.

        Raises:
            NotFittedError: before `fit`.
        """
        self._check_fitted()
        return {**self.backbone_.identity(), "kind": self._kind}

    def writers(self, prefix: str = "") -> dict[str, storage.Writer]:
        """Return what `storage.save` needs to keep this estimator, as part of another folder if there is a prefix."""
        raise NotImplementedError

    def save(self, folder: storage.PathLike, *, onnx: bool = True) -> None:
        """Save all that was learned, and the options, to a folder, atomically.

        Args:
            folder: made where it is missing.
            onnx: beside trained weights save the network as a graph, by which it is loaded and runs without torch. Making it
                takes seconds, and a warning says where it can't be made.

        Raises:
            NotFittedError: before `fit`.
            StorageError: if the folder holds something else or can't be written; what was there is unchanged.
        """
        from fashionsearch import storage
        from fashionsearch.encoder import with_graph

        storage.save(folder, self._kind, with_graph(self.writers(), onnx=onnx))

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
        rebuild: bool = False,
    ) -> Self:
        """Load what `save` wrote, without touching the network; its answers equal those before within rounding.

        Where it has a graph, and runs on the CPU, it needs no torch.

        Args:
            folder: the saved folder.
            device: as for the constructor.
            precision: likewise.
            runtime: likewise.
            batch_size: likewise.
            progress: likewise.
            rebuild: make the network from its weights, whatever graph lies beside them, which takes torch; so that no
                native code reads a graph of a stranger's.

        Raises:
            StorageError: if the folder holds something else or is damaged.
            DeviceError: if the device isn't there.
            MissingPackageError: if it takes torch, which isn't installed.
        """
        from fashionsearch import storage
        from fashionsearch.device import Execution

        saved = storage.open_saved(folder, cls._kind)
        execution = Execution(device, precision, runtime, batch_size, progress)
        return cls.read(saved.without(cls._graph_files()) if rebuild else saved, execution)

    @classmethod
    def _graph_files(cls) -> tuple[str, ...]:
        from fashionsearch.encoder import GRAPHS

        return GRAPHS

    def _facts(self) -> list[tuple[str, str]]:
        """Return what a card says of the network."""
        height, width = self.backbone_.preprocess.image_size
        learned = "frozen" if self.training is None else f"fine-tuned for {len(self.history_)} epochs"
        return [
            ("encoder", self.backbone_.name),
            ("its weights", str(self.backbone_.origin)),
            ("training", "from scratch" if self.weights is None else learned),
            ("photos", f"{height} × {width} pixels, resized by {self.backbone_.preprocess.resize!r}"),
            ("dim of an embedding", f"{self.dim:,}"),
        ]

    @classmethod
    def read(cls, saved: storage.Saved, execution: Execution, prefix: str = "") -> Self:
        """Read an estimator from a verified folder, as part of another if there is a prefix.

        Args:
            saved: the folder, opened.
            execution: how the network is to be run.
            prefix: of the files.

        Raises:
            CorruptFileError: if the files contradict each other.
        """
        raise NotImplementedError

    def _check_training(self) -> None:
        from fashionsearch.training import FineTuning

        if self.training is not None and not isinstance(self.training, FineTuning):
            raise errors.InputError(f"training={self.training!r} is neither None nor a FineTuning(...)")


def _same(value: object, default: object) -> bool:
    return value is default or (type(value) is type(default) and value == default)


def _not_fitted(message: str) -> errors.NotFittedError:
    """Return an error that scikit-learn's own tools know too, where somebody has imported them."""
    if "sklearn" not in sys.modules:
        return errors.NotFittedError(message)
    import sklearn.exceptions

    class NotFittedError(errors.NotFittedError, sklearn.exceptions.NotFittedError):
        __module__, __qualname__ = errors.__name__, "NotFittedError"

        def __reduce__(self) -> tuple[Any, ...]:
            return _not_fitted, self.args

    return NotFittedError(message)


_TUNED = "fine-tuned from "
# What a `Backbone` brings with it; an argument of these that isn't at its default would be left unheard.
_OF_THE_BACKBONE = ("weights", "image_size", "resize", "device", "precision", "runtime", "batch_size")


def open_backbone(estimator: ImageEstimator, random_state: int | None, name: str | None = None) -> Backbone:
    """Return the backbone that an estimator's arguments describe, or the one it was given.

    Args:
        estimator: whose arguments.
        random_state: of first weights.
        name: another network than the argument's.

    Raises:
        InputError: if a `Backbone` is given, and beside it an argument that would change it.
    """
    from fashionsearch.backbones import Backbone, create_backbone

    given = estimator.backbone
    if isinstance(given, Backbone):
        changed = estimator._changed()
        for option in _OF_THE_BACKBONE:
            if option in changed:
                raise errors.InputError(
                    f"{option}={changed[option]!r} goes with a backbone's name, and a Backbone brings its own; "
                    "leave it out, or give the name"
                )
        return given
    return create_backbone(
        name or given,
        **{option: getattr(estimator, option) for option in _OF_THE_BACKBONE},
        random_state=random_state,
        progress=estimator.progress,
    )


def trained_backbone(backbone: Backbone, module: nn.Module | None = None) -> Backbone:
    """Return a backbone around the same network, by now trained, or around a module that holds it."""
    return backbone.variant(
        module=backbone.module
        if module is None
        else module,  # given, also where it is the same: it has learned
        origin="trained" if backbone.origin is None else _TUNED + backbone.origin.removeprefix(_TUNED),
    )


def readable(
    images: Images, labels: ArrayLike, on_error: str, name: str = "labels"
) -> tuple[Images, ArrayLike]:
    """Return images and labels as they are, or under "skip" without the images that can't be read.

    Warns:
        DataWarning: that names what is left out.

    Raises:
        InputError: if `on_error` is neither "raise" nor "skip".
        DataError: if labels can't be classes of these images.
    """
    from fashionsearch.encoder import check_on_error

    check_on_error(on_error)
    if on_error == "raise":
        return images, labels
    from fashionsearch.images import iterate
    from fashionsearch.targets import checked_labels

    everything = list(iterate(images))
    checked = checked_labels(everything, labels, name)
    kept, positions = without_unreadable(everything, name)
    return kept, checked[positions]


def readable_images(images: Images, on_error: str) -> Images:
    """Return images as they are, or under "skip" those that can be read.

    Warns:
        DataWarning: that names what is left out.

    Raises:
        InputError: if `on_error` is neither "raise" nor "skip".
    """
    from fashionsearch.encoder import check_on_error, tell_left_out

    check_on_error(on_error)
    if on_error == "raise":
        return images
    from fashionsearch.images import check_images, iterate

    everything = list(iterate(images))
    positions, failures = check_images(everything)
    tell_left_out(failures, len(everything))
    return [everything[position] for position in positions]


def without_unreadable(everything: list[Image], name: str) -> tuple[list[Image], NDArray[np.int64]]:
    """Return the images that can be read, and their positions.

    Warns:
        DataWarning: that names what is left out with its `name`, at the caller of this function's caller's caller.
    """
    from fashionsearch.images import check_images

    found = check_images(everything)
    if found.failures:
        warnings.warn(
            f"{len(found.failures)} of {len(everything)} images can't be read and are left out with their {name}: "
            f"{errors.ImageError(found.failures)}",
            errors.DataWarning,
            stacklevel=4,
        )
    return [everything[position] for position in found.positions], found.positions

"""`FineTuning`: how a network is trained, and the recipes its open fields are filled from."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.results import ShowsFields
from fashionsearch.training.augmentation import AUGMENTATIONS, Augmentation
from fashionsearch.training.old_names import accepts_old_names, current_name, current_names

UNFREEZE = ("head", "last", "upper", "all")
SCHEDULES = ("cosine", "one_cycle")
_OF_A_TEACHER = ("distillation_weight", "temperature")


@accepts_old_names
@dataclass(frozen=True)
class FineTuning(ShowsFields):
    """How a network is trained: by AdamW, on augmented photos, keeping the epoch that did best on the validation part.

    A field that is None takes the value of the recipe for the case at hand: from trained weights, from scratch, or for
    an autoencoder (method `recipe`). A classifier that starts from trained weights keeps the running statistics of
    their batch normalisation, which its head was fitted on.

    Attributes:
        epochs: how often every photo is seen, from 1 up.
        learning_rate: the highest rate, that of the head.
        backbone_learning_rate: the highest rate of the layers below the head.
        batch_size: photos a step, all devices together.
        dropout: share of the embedding that is dropped before the head, 0 to below 1.
        patience: stop after so many epochs at the full size without a lower validation loss; without a validation part
            nothing stops early.
        augment: "none", "flips", "light", "strong", "wild" (as phones take photos), or an `Augmentation` of your own.
        unfreeze: what learns: the "head" alone, the "last" layers (those whose feature maps have the final size), the
            "upper" ones (those whose feature maps have at most twice that) or "all".
        label_smoothing: share of each label that is spread over all classes, 0 to below 1 (Szegedy et al. 2016,
            arXiv:1512.00567).
        mixup: alpha of the Beta distribution that photos are blended by, 0 is off (Zhang et al. 2018,
            arXiv:1710.09412).
        ema: keep an exponential moving average of the weights, over about an epoch, and use that.
        class_weights: deprecated; give `class_weight` to the classifier.
        weight_decay: decoupled, on matrices and kernels only (Loshchilov and Hutter 2019, arXiv:1711.05101).
        schedule: "cosine", a linear warm-up and then half a cosine, or "one_cycle" (Smith and Topin 2018,
            arXiv:1708.07120).
        warmup: share of the steps in which the rate rises, 0 to below 1.
        progressive_resizing: begin with photos of half the side, and reach the full size after three fifths of the epochs,
            which is faster; networks that are built for one size start with that.
        teacher: a fitted `Classifier` that knows all classes, or the folder one was saved to: the network learns its
            probabilities beside the labels, photo by photo as augmented and blended (Hinton et al. 2015,
            arXiv:1503.02531; Beyer et al. 2022, arXiv:2106.05237). It is not saved with what it taught.
        distillation_weight: the teacher's share of the loss, above 0 to 1; at 1 the labels count for nothing. Class weights
            apply to the labels' share.
        temperature: what the logits of teacher and student are divided by, above 0: the higher, the more it counts what
            the teacher thinks of the classes that it finds improbable.
        devices: how many devices of a machine share the work; each is a process of its own.
        nodes: how many machines share the work, started by torchrun or SLURM.
        autotune: on the CPU, time a few steps before the first, in float32 and in bf16, with both memory formats, and train
            in the fastest if it saves a tenth of the time. `checkpoints` remember the choice; without them another run may
            choose otherwise.
        workers: processes that augment photos; None is 0 on the CPU, and up to 8 elsewhere.

    Raises:
        InputError: if a value can't be used.

    Examples:
        >>> FineTuning(epochs=3).recipe("weights").unfreeze
        'all'
    """

    epochs: int | None = None
    learning_rate: float | None = None
    backbone_learning_rate: float | None = None
    batch_size: int | None = None
    dropout: float | None = None
    patience: int | None = None
    augment: Augmentation | str | None = None
    unfreeze: str | None = None
    label_smoothing: float | None = None
    mixup: float | None = None
    ema: bool | None = None
    class_weights: str | Mapping[Any, float] | None = None
    weight_decay: float | None = None
    schedule: str | None = None
    warmup: float | None = None
    progressive_resizing: bool | None = None
    teacher: Any = None
    distillation_weight: float | None = None
    temperature: float | None = None
    devices: int = 1
    nodes: int = 1
    autotune: bool = False
    workers: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience", "devices", "nodes"):
            _check(self, name, Integral, lambda value: value >= 1, "a whole number from 1 up")
        _check(self, "workers", Integral, lambda value: value >= 0, "a whole number from 0 up")
        for name in ("learning_rate", "backbone_learning_rate"):
            _check(self, name, Real, lambda value: 0 < value < 100, "a number above 0, such as 0.001")
        _check(self, "temperature", Real, lambda value: 0 < value < 100, "a number above 0, such as 2")
        _check(self, "distillation_weight", Real, lambda value: 0 < value <= 1, "a number above 0 up to 1")
        for name in ("mixup", "weight_decay"):
            _check(self, name, Real, lambda value: 0 <= value < 100, "a number from 0 up")
        for name in ("dropout", "label_smoothing", "warmup"):
            _check(self, name, Real, lambda value: 0 <= value < 1, "a number from 0 to below 1")
        for name in ("ema", "progressive_resizing", "autotune"):
            _check(self, name, bool, lambda value: True, "True or False")
        for name, known in (
            ("unfreeze", UNFREEZE),
            ("schedule", SCHEDULES),
            ("augment", tuple(AUGMENTATIONS)),
        ):
            value = getattr(self, name)
            if value is None or isinstance(value, Augmentation) or value in known:
                continue
            besides = ", or an Augmentation." if name == "augment" else "."
            raise errors.InputError(
                f"{name}={value!r} is not one of {', '.join(known)}{besides}{errors.did_you_mean(value, known)}"
            )
        self._check_teacher()
        named = self.class_weights is None or isinstance(self.class_weights, Mapping)
        if not named and not (isinstance(self.class_weights, str) and self.class_weights == "balanced"):
            raise errors.InputError(
                f"class_weights={self.class_weights!r} is not None, 'balanced' or a mapping of classes to weights"
            )

    def _check_teacher(self) -> None:
        if isinstance(self.teacher, os.PathLike):  # which would not equal what JSON keeps of it
            object.__setattr__(self, "teacher", os.fspath(self.teacher))
        noted = isinstance(self.teacher, Mapping) and "fingerprint" in self.teacher
        if not (
            self.teacher is None or noted or isinstance(self.teacher, str) or hasattr(self.teacher, "fit")
        ):
            raise errors.InputError(
                f"teacher={self.teacher!r:.80} is not a fitted Classifier or the folder of a saved one"
            )

    def recipe(self, case: str, *, normalised: bool = True) -> FineTuning:
        """Return a copy whose open fields have the values of a recipe.

        Args:
            case: "weights", "scratch" or "autoencoder".
            normalised: whether the network has normalisation layers; one without them, such as VGG19, diverges at the
                rates that others want, and takes a tenth below the head.
        """
        recipe = RECIPES[case]
        filled = {
            field.name: getattr(recipe, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) is None
            and (self.teacher is not None or field.name not in _OF_A_TEACHER)
        }
        if "backbone_learning_rate" in filled:
            # A rate of one's own moves both: their ratio is what the recipe is about.
            scale = 1.0 if self.learning_rate is None else self.learning_rate / (recipe.learning_rate or 1.0)
            slower = 1.0 if normalised else 0.1
            filled["backbone_learning_rate"] = (recipe.backbone_learning_rate or 0.0) * scale * slower
        return with_fields(self, **filled)

    if not TYPE_CHECKING:  # where a misspelt field is to be found

        def __getattr__(self, name: str) -> Any:
            now = current_name(name)
            if now == name:
                raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
            return getattr(self, now)

    @property
    def augmentation(self) -> Augmentation:
        """The `Augmentation` that `augment` means."""
        return (
            self.augment if isinstance(self.augment, Augmentation) else AUGMENTATIONS[self.augment or "none"]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them; of a teacher that is an object, its fingerprint."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if isinstance(self.augment, Augmentation):
            fields["augment"] = dataclasses.asdict(self.augment)
        if isinstance(self.class_weights, Mapping):
            fields["class_weights"] = [list(pair) for pair in self.class_weights.items()]
        if not (self.teacher is None or isinstance(self.teacher, str | Mapping)):
            fields["teacher"] = {"fingerprint": teacher_fingerprint(self.teacher)}
        return fields

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> FineTuning:
        """Return what `to_dict` wrote.

        Raises:
            InputError: if a field can't be used.
        """
        fields = current_names(saved)
        unknown = sorted(fields.keys() - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise errors.InputError(
                f"the saved training has {unknown[0]!r}, which this fashionsearch doesn't know; upgrade it"
            )
        if isinstance(fields.get("augment"), dict):
            fields["augment"] = Augmentation(**fields["augment"])
        weights = fields.pop("class_weights", None)  # by name it would warn whoever only loads a folder
        made = cls(**fields)
        return with_fields(made, class_weights=dict(weights) if isinstance(weights, list) else weights)


def with_fields(options: FineTuning, **fields: Any) -> FineTuning:
    """Return a copy with other values in some fields, which are taken as they are."""
    changed = copy.copy(options)
    for name, value in fields.items():
        object.__setattr__(changed, name, value)
    return changed


# Networks that learn from scratch, and autoencoders, are not fine-tuned.
TrainingOptions = FineTuning


def recipe_for(weights: object) -> str:
    """Return the name of the recipe for a network that starts from these weights: None is from scratch."""
    return "scratch" if weights is None else "weights"


def teacher_fingerprint(classifier: Any) -> str:
    """Return what decides a fitted `Classifier`'s probabilities, as one SHA-256.

    Raises:
        InputError: if it is none, or isn't fitted.
    """
    missing = [name for name in ("backbone_", "head_", "classes_") if not hasattr(classifier, name)]
    if missing:
        raise errors.InputError(
            f"teacher={type(classifier).__name__}(...) is no fitted Classifier: it has no {missing[0]}; call its fit first, "
            "or give the folder of a saved one"
        )
    digest = hashlib.sha256(classifier.backbone_.fingerprint.encode())
    digest.update(classifier.head_.weight.tobytes() + classifier.head_.bias.tobytes())
    digest.update(repr(classifier.classes_.tolist()).encode())
    return digest.hexdigest()


def _check(options: FineTuning, name: str, kind: type, fine: Any, need: str) -> None:
    value = getattr(options, name)
    if value is None and name not in ("devices", "nodes", "autotune"):
        return
    wrong_kind = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
    if wrong_kind or not fine(value):
        raise errors.InputError(f"{name}={value!r} is not {need}")


RECIPES = {
    "weights": FineTuning(
        epochs=6,
        learning_rate=1e-3,
        backbone_learning_rate=5e-4,
        batch_size=32,
        dropout=0.2,
        patience=5,
        augment="light",
        unfreeze="all",
        label_smoothing=0.1,
        mixup=0.0,
        ema=True,
        weight_decay=0.01,
        schedule="cosine",
        warmup=0.1,
        progressive_resizing=False,
        distillation_weight=0.5,
        temperature=2.0,
    ),
    "scratch": FineTuning(
        epochs=40,
        learning_rate=2e-3,
        backbone_learning_rate=2e-3,
        batch_size=64,
        dropout=0.2,
        patience=20,
        augment="light",
        unfreeze="all",
        label_smoothing=0.1,
        mixup=0.2,
        ema=True,
        weight_decay=0.05,
        schedule="cosine",
        warmup=0.1,
        progressive_resizing=False,
        distillation_weight=0.5,
        temperature=2.0,
    ),
    "autoencoder": FineTuning(
        epochs=15,
        learning_rate=2e-3,
        backbone_learning_rate=2e-3,
        batch_size=64,
        dropout=0.0,
        patience=10,
        augment="flips",
        unfreeze="all",
        label_smoothing=0.0,
        mixup=0.0,
        ema=True,
        weight_decay=0.01,
        schedule="cosine",
        warmup=0.1,
        progressive_resizing=False,
    ),
}
